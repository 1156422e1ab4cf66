// Several answers to one request.
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import type { TextEvent } from "../engine/serve/types.ts";
import { seedOf, together } from "./choices.ts";
import { events, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { content, finished, hello, reasoning, started } from "./fake-engine.fixture.ts";
import type { Step } from "./fake-engine.fixture.ts";

let daemon: Daemon;
const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };
const chat = (more: object) => post(`${daemon.url}/v1/chat/completions`, { ...body, ...more });

beforeEach(async () => {
  daemon = await startDaemon({ keepaliveMs: 10_000, stallMs: 300 });
});
afterEach(() => daemon.close());

/** A model whose answers to one request differ. */
function answersWith(...scripts: Step[][]): void {
  const chatOf = daemon.model.chat.bind(daemon.model);
  let next = 0;
  Object.assign(daemon.model, {
    chat: (...args: Parameters<typeof chatOf>) => {
      daemon.model.script = scripts[next++ % scripts.length]!;
      return chatOf(...args);
    },
  });
}

const call = [
  { type: "tool_call", index: 0, id: "call_1", name: "add" },
  { type: "tool_arguments", index: 0, json: '{"a":1}' },
] as const;
const different: Step[][] = [
  hello,
  [started, reasoning("Hm."), content("No"), finished("length")],
  [started, ...call, finished("tool_calls")],
];

test("whole answers: one choice each, the prompt counted once", async () => {
  answersWith(...different);
  const { choices, usage } = await json(chat({ n: 3, seed: 7 }));
  expect(choices.map((one: Json) => [one.index, one.finish_reason])).toEqual([
    [0, "stop"],
    [1, "length"],
    [2, "tool_calls"],
  ]);
  expect(choices.map((one: Json) => one.message.content)).toEqual(["Hello world", "No", null]);
  expect(choices[1].message.reasoning_content).toBe("Hm.");
  expect(choices[2].message.tool_calls).toHaveLength(1);
  expect([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]).toEqual([11, 21, 32]);
  expect(usage.completion_tokens_details.reasoning_tokens).toBe(6);
  const seeds = daemon.model.asked.map(({ options }) => options.seed);
  expect(seeds[0]).toBe(7);
  expect(new Set(seeds).size).toBe(3);
});

test("a stream: every chunk says whose it is, and usage comes once, last", async () => {
  answersWith(...different);
  const answer = await chat({
    n: 3,
    stream: true,
    stream_options: { include_usage: true, prompt_usage: true },
  });
  const chunks = events(await answer.text());
  expect(chunks.at(-1)).toBe("[DONE]");
  const frames = chunks.slice(0, -1);
  const texts = ["", "", ""];
  const reasons: string[] = [];
  for (const { choices } of frames)
    for (const { index, delta, finish_reason } of choices) {
      expect(reasons[index]).toBeUndefined(); // nothing behind a choice's end
      texts[index] += delta.content ?? "";
      if (finish_reason) reasons[index] = finish_reason;
    }
  expect(texts).toEqual(["Hello world", "No", ""]);
  expect(reasons).toEqual(["stop", "length", "tool_calls"]);
  expect(
    frames.filter(({ choices }: Json) => choices[0]?.delta.role).map(({ choices }: Json) => choices[0].index),
  ).toEqual([0, 1, 2]);
  expect(
    frames
      .filter(({ usage }: Json) => usage?.completion_tokens)
      .map(({ usage }: Json) => usage.completion_tokens),
  ).toEqual([21]);
  expect(frames.at(-1).choices).toEqual([]);
});

test("plain completions have choices, too", async () => {
  const answer = await post(`${daemon.url}/v1/completions`, {
    model: "org/fake",
    prompt: "x",
    n: 2,
    echo: true,
  });
  const { choices, usage } = await json(answer);
  expect(choices).toMatchObject([
    { index: 0, text: "xHello world" },
    { index: 1, text: "xHello world" },
  ]);
  expect(usage.completion_tokens).toBe(14);
});

test("answers that run one after another are heard one after another", async () => {
  answersWith([started, 20, content("a"), finished()], [started, content("b"), finished()]);
  const chunks = events(await (await chat({ n: 2, stream: true })).text());
  const heard = chunks.flatMap(
    (chunk: Json) => chunk.choices?.flatMap((one: Json) => one.delta.content || []) ?? [],
  );
  expect(heard).toEqual(["a", "b"]);
});

test("one choice that is turned away turns all away, and the others end", async () => {
  answersWith(hello, [new EngineError("queue_full", "64 requests wait")]);
  const answer = await chat({ n: 2, stream: true });
  expect([answer.status, (await json(answer)).error.code]).toEqual([503, "queue_full"]);
  expect(daemon.model.load).toEqual({ running: 0, waiting: 0 });
  expect(daemon.model.signals.every((signal) => signal.aborted)).toBe(true);
});

test("a failure in the midst of one ends all", async () => {
  answersWith(hello, [started, content("a"), new EngineError("device_lost", "gone")]);
  const chunks = events(await (await chat({ n: 2, stream: true })).text());
  expect(chunks.at(-1).error.code).toBe("device_lost");
  expect(daemon.model.load).toEqual({ running: 0, waiting: 0 });
});

async function* saying(texts: readonly string[], gate: Promise<void>): AsyncGenerator<TextEvent> {
  yield started;
  await gate;
  for (const text of texts) yield content(text);
  yield finished();
}

test("answers interleave as they come, and each is asked for one event at a time", async () => {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const never = new AbortController().signal;
  const all = together([() => saying(["a", "b"], gate), () => saying(["c"], Promise.resolve())], never);
  const heard: string[] = [];
  for await (const { choice, event } of all) {
    heard.push(`${choice} ${event.type === "content" ? event.text : event.type}`);
    if (heard.length === 4) go();
  }
  expect(heard).toEqual(["0 started", "1 started", "1 c", "1 finished", "0 a", "0 b", "0 finished"]);
});

test("leaving early ends every answer", async () => {
  const signals: AbortSignal[] = [];
  let ended = 0;
  async function* endless(signal: AbortSignal): AsyncGenerator<TextEvent> {
    signals.push(signal);
    try {
      yield started;
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    } finally {
      ended += 1;
    }
  }
  for await (const { choice } of together([endless, endless, endless], new AbortController().signal))
    if (choice === 2) break;
  expect(signals.map((signal) => signal.aborted)).toEqual([true, true, true]);
  expect(ended).toBe(3);
});

test("seeds: the caller's own first, the others far from its neighbours", () => {
  expect([seedOf(undefined, 3), seedOf(5, 0)]).toEqual([undefined, 5]);
  const seeds = [5, 6, -5, Number.MAX_SAFE_INTEGER].flatMap((seed) =>
    [0, 1, 2].map((choice) => seedOf(seed, choice)),
  );
  expect(seeds.every(Number.isSafeInteger)).toBe(true);
  expect(new Set([5, 6].flatMap((seed) => [0, 1, 2].map((choice) => seedOf(seed, choice)))).size).toBe(6);
});
