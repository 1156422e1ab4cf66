import { afterEach, beforeEach, expect, test } from "vitest";
import { events, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { content, finished, started, token } from "./fake-engine.fixture.ts";

let daemon: Daemon;
beforeEach(async () => {
  daemon = await startDaemon({ keepaliveMs: 40 });
});
afterEach(() => daemon.close());

const complete = (more: object = {}) =>
  post(`${daemon.url}/v1/completions`, { model: "org/fake", prompt: "Once", ...more });
const asked = () => daemon.model.asked.at(-1) as Json;

test("a whole answer", async () => {
  expect(await json(complete())).toEqual({
    id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
    object: "text_completion",
    created: expect.any(Number),
    model: "org/fake",
    choices: [{ index: 0, text: "Hello world", logprobs: null, finish_reason: "stop" }],
    usage: expect.objectContaining({ prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }),
    timings: { prefill_ms: 5, decode_ms: 70 },
  });
  expect(asked()).toEqual({ prompt: "Once", options: {} });
});

test.each([
  ["text", "Once", "Once"],
  ["one text in a list", ["Once"], "Once"],
  ["token ids", [5, 6, 7], [5, 6, 7]],
  ["one list of token ids", [[5, 6]], [5, 6]],
])("a prompt as %s", async (_, prompt, wanted) => {
  expect((await complete({ prompt })).status).toBe(200);
  expect(asked().prompt).toEqual(wanted);
});

test.each([
  [5, "prompt"],
  [[], "prompt"],
  [[1, "x"], "prompt.1"],
  [[[1, -1]], "prompt.0.1"],
])("a prompt as %j is wrong at %s", async (prompt, param) => {
  const answer = await complete({ prompt });
  expect([answer.status, (await json(answer)).error.param]).toEqual([400, param]);
});

test("a stream with usage", async () => {
  const all = events(
    await (await complete({ stream: true, stream_options: { include_usage: true } })).text(),
  );
  expect(all.at(-1)).toBe("[DONE]");
  expect(all.slice(0, -2).map((chunk) => chunk.choices[0])).toEqual([
    { index: 0, text: "Hello", logprobs: null, finish_reason: null },
    { index: 0, text: " world", logprobs: null, finish_reason: null },
    { index: 0, text: "", logprobs: null, finish_reason: "stop" },
  ]);
  expect(all.at(-2)).toMatchObject({ object: "text_completion", choices: [], usage: { total_tokens: 18 } });
  expect(all[0].usage).toBeNull();
});

test("keepalives say nothing", async () => {
  daemon.model.script = [started, 130, content("late"), finished()];
  const texts = events(await (await complete({ stream: true })).text())
    .slice(0, -1)
    .map((chunk) => chunk.choices[0].text);
  expect(texts.length).toBeGreaterThanOrEqual(4);
  expect(texts.join("")).toBe("late");
});

const half = (id: number, byte: number) => token(id, "\ufffd", -0.1, [byte]);

test("logprobs, whole and streamed, with offsets in characters", async () => {
  daemon.model.script = [
    started,
    content("𝄞a", [token(1, "𝄞", -0.25), token(2, "a", -0.5)]),
    content("b", [token(3, "b", -1)]),
    content("", [half(4, 0xc3)]),
    content("ä", [half(5, 0xa4)]),
    finished(),
  ];
  const { choices } = await json(complete({ logprobs: 2 }));
  expect(asked().options.topLogprobs).toBe(2);
  expect(choices[0].logprobs).toEqual({
    tokens: ["𝄞", "a", "b", "bytes:\\xc3", "bytes:\\xa4"],
    token_logprobs: [-0.25, -0.5, -1, -0.1, -0.1],
    top_logprobs: [
      { "𝄞": -0.25, other: -2.25 },
      { a: -0.5, other: -2.5 },
      { b: -1, other: -3 },
      { "bytes:\\xc3": -0.1, other: -2.1 },
      { "bytes:\\xa4": -0.1, other: -2.1 },
    ],
    text_offset: [0, 1, 2, 3, 4],
  });
  const chunks = events(await (await complete({ logprobs: 0, stream: true })).text()).slice(0, -2);
  const offsets = chunks.flatMap((chunk) => chunk.choices[0].logprobs.text_offset);
  expect(offsets).toEqual([0, 1, 2, 3, 4]);
});

test("echo", async () => {
  expect((await json(complete({ echo: true }))).choices[0].text).toBe("OnceHello world");
  const chunks = events(await (await complete({ echo: true, stream: true })).text());
  expect(chunks[0].choices[0].text).toBe("Once");
});

test("the stop string that ended it", async () => {
  daemon.model.script = [started, content("a"), finished("stop", "END")];
  expect((await json(complete({ stop: "END" }))).choices[0]).toMatchObject({
    finish_reason: "stop",
    stop_reason: "END",
  });
});
