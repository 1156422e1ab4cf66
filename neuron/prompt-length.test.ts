// How long a prompt is: asked on its own, and told at the start of a stream.
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { events, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { content, finished, started } from "./fake-engine.fixture.ts";

let daemon: Daemon;
const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };

beforeEach(async () => {
  daemon = await startDaemon({ keepaliveMs: 40 });
});
afterEach(() => daemon.close());

const count = (more: object = {}) =>
  post(`${daemon.url}/v1/chat/completions/input_tokens`, { ...body, ...more });

test("the model counts what it would be asked", async () => {
  const asked: Json[] = [];
  Object.assign(daemon.model, { countTokens: async (request: Json) => (asked.push(request), 4711) });
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
  const answer = await count({ tools, enable_thinking: true, stream: true, max_tokens: 1 });
  expect([answer.status, await json(answer)]).toEqual([200, { input_tokens: 4711 }]);
  expect(asked).toMatchObject([
    { messages: body.messages, tools, templateArguments: { enable_thinking: true } },
  ]);
  expect(daemon.model.asked).toEqual([]); // nothing was generated
});

test.each<[string, object, number, string]>([
  ["an unknown model", { model: "nobody" }, 404, "model_not_found"],
  ["a wrong field", { messages: [{ role: "user", content: 7 }] }, 400, "bad_request"],
  ["what is not supported", { audio: {} }, 400, "unsupported_parameter"],
])("%s is refused as in a chat", async (_, more, status, code) => {
  const answer = await count(more);
  expect([answer.status, (await json(answer)).error.code]).toEqual([status, code]);
});

test("a template that refuses is told", async () => {
  const refused = new EngineError("template_failed", "the chat template refused: no");
  Object.assign(daemon.model, { countTokens: () => Promise.reject(refused) });
  const answer = await count();
  expect([answer.status, (await json(answer)).error.code]).toEqual([400, "template_failed"]);
});

test.each([
  ["/v1/chat/completions", {}],
  ["/v1/completions", { prompt: "hi" }],
])("%s tells it before the first delta, if asked", async (path, more) => {
  daemon.model.script = [started, 90, content("a"), finished()];
  const ask = async (stream_options: object) => {
    const text = await (
      await post(daemon.url + path, { ...body, ...more, stream: true, stream_options })
    ).text();
    return events(text).slice(0, -1) as Json[];
  };
  const chunks = await ask({ prompt_usage: true });
  const told = chunks.findIndex(({ usage }) => usage);
  expect(chunks[told].usage).toEqual({ prompt_tokens: 11, completion_tokens: 0, total_tokens: 11 });
  const wordsOf = (chunk: Json) => chunk.choices[0]?.delta?.content || chunk.choices[0]?.text || "";
  expect(chunks.findIndex((chunk) => wordsOf(chunk) !== "")).toBeGreaterThan(told);
  expect(chunks.filter(({ usage }) => usage)).toHaveLength(1);
  expect((await ask({})).some(({ usage }) => usage)).toBe(false);
  expect((await ask({ prompt_usage: true, include_usage: true })).at(-1).usage.completion_tokens).toBe(7);
});
