import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EngineError, errorCodes } from "../engine/errors.ts";
import { answers } from "./answers.ts";
import { json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { hello } from "./fake-engine.fixture.ts";

let daemon: Daemon;
beforeAll(async () => {
  daemon = await startDaemon({ bodyBytes: 100_000 });
});
afterAll(() => daemon.close());
beforeEach(() => {
  daemon.model.script = hello;
});

const messages = [{ role: "user", content: "hi" }];
const tool = { type: "function", function: { name: "f" } };

async function refused(
  path: string,
  body: unknown,
): Promise<{ status: number; error: Json; headers: Headers }> {
  const answer = await post(daemon.url + path, body);
  const { error, ...rest } = await json(answer);
  expect(rest).toEqual({});
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  return { status: answer.status, error, headers: answer.headers };
}

const user = (part: unknown) => ({ messages: [{ role: "user", content: [part] }] });

test.each([
  ["tool_choice", { tools: [tool], tool_choice: { type: "allowed_tools", mode: "auto", tools: [] } }],
  ["functions", { functions: [{ name: "f" }] }],
  ["function_call", { function_call: { name: "f" } }],
  ["audio", { audio: { voice: "x" } }],
  ["modalities", { modalities: ["text", "audio"] }],
  ["prediction", { prediction: { type: "content", content: "x" } }],
  ["store", { store: true }],
  ["service_tier", { service_tier: "flex" }],
  ["verbosity", { verbosity: "low" }],
  ["web_search_options", { web_search_options: {} }],
  ["guided_json", { guided_json: {} }],
  ["stop_token_ids", { stop_token_ids: [5] }],
  ["ignore_eos", { ignore_eos: true }],
  ["tools.1.type", { tools: [tool, { type: "web_search" }] }],
  ["messages.0.content.0.type", user({ type: "input_audio", input_audio: {} })],
  ["messages.0.content.0.type", user({ type: "file", file: {} })],
])("chat refuses what it does not do: %s %j", async (param, body) => {
  const { status, error } = await refused("/v1/chat/completions", { model: "org/fake", messages, ...body });
  expect([status, error.code, error.param]).toEqual([400, "unsupported_parameter", param]);
  expect(error.message).toContain(param);
});

test.each([
  ["best_of", { best_of: 2 }],
  ["suffix", { suffix: "end" }],
  ["response_format", { response_format: { type: "json_object" } }],
  ["prompt", { prompt: ["one", "two"] }],
  ["echo", { echo: true, logprobs: 0 }],
  ["echo", { prompt: [1, 2], echo: true }],
])("completions refuses what it does not do: %s %j", async (param, body) => {
  const { status, error } = await refused("/v1/completions", { model: "org/fake", prompt: "x", ...body });
  expect([status, error.code, error.param]).toEqual([400, "unsupported_parameter", param]);
});

test.each([
  ["model", {}],
  ["model", { model: 5, messages }],
  ["messages", { model: "org/fake" }],
  ["messages", { model: "org/fake", messages: [] }],
  ["messages", { model: "org/fake", messages: "hi" }],
  ["messages.0.role", { model: "org/fake", messages: [{ role: 5, content: "hi" }] }],
  ["messages.1.role", { model: "org/fake", messages: [...messages, { role: "robot", content: "hi" }] }],
  ["messages.0.content", { model: "org/fake", messages: [{ role: "user", content: 5 }] }],
  ["messages.0.content.0.text", { model: "org/fake", ...user({ type: "text", text: 5 }) }],
  ["messages.0.content.0.type", { model: "org/fake", ...user({ type: "smell" }) }],
  [
    "messages.0.content.0.image_url.url",
    { model: "org/fake", ...user({ type: "image_url", image_url: {} }) },
  ],
  [
    "messages.0.tool_calls.0.function.name",
    { messages: [{ role: "assistant", tool_calls: [{ function: {} }] }] },
  ],
  ["temperature", { temperature: "hot" }],
  ["temperature", { temperature: 2.5 }],
  ["top_p", { top_p: -0.1 }],
  ["top_k", { top_k: 1.5 }],
  ["max_tokens", { max_tokens: 0 }],
  ["seed", { seed: 0.5 }],
  ["stop", { stop: 5 }],
  ["stop.1", { stop: ["a", ""] }],
  ["stream", { stream: "yes" }],
  ["stream_options.include_usage", { stream_options: { include_usage: 1 } }],
  ["logit_bias.5", { logit_bias: { "5": 200 } }],
  ["logit_bias.1000", { logit_bias: { "1000": 1 } }],
  ["top_logprobs", { logprobs: true, top_logprobs: 21 }],
  ["top_logprobs", { top_logprobs: 2 }],
  ["tools.0.function", { tools: [{ type: "function" }] }],
  ["tools.0.function.parameters", { tools: [{ type: "function", function: { name: "f", parameters: [] } }] }],
  ["tool_choice", { tool_choice: "maybe" }],
  ["tool_choice", { tool_choice: "required" }],
  ["tool_choice", { tools: [], tool_choice: { type: "function", function: { name: "f" } } }],
  ["tool_choice.function.name", { tools: [tool], tool_choice: { type: "function", function: {} } }],
  ["tools.0.function.strict", { tools: [{ type: "function", function: { name: "f", strict: "yes" } }] }],
  ["response_format.type", { response_format: { type: "grammar" } }],
  ["response_format.json_schema", { response_format: { type: "json_schema" } }],
  [
    "response_format.json_schema.schema",
    { response_format: { type: "json_schema", json_schema: { name: "x" } } },
  ],
  ["n", { n: 0 }],
  ["n", { n: 17 }],
])("a wrong value is named by its path: %s %j", async (param, body) => {
  const base = param === "model" || "model" in body ? {} : { model: "org/fake", messages };
  const { status, error } = await refused("/v1/chat/completions", { ...base, ...body });
  expect([status, error.type, error.code, error.param]).toEqual([
    400,
    "invalid_request_error",
    "bad_request",
    param,
  ]);
});

test("a wrong value is shown", async () => {
  const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }], temperature: "hot" };
  expect((await refused("/v1/chat/completions", body)).error.message).toBe(
    'temperature: Invalid type: Expected number but received "hot"',
  );
});

describe("requests that reach no route", () => {
  test("malformed JSON", async () => {
    const { status, error } = await refused("/v1/chat/completions", '{"model": ');
    expect([status, error.code]).toEqual([400, "malformed_json"]);
  });

  test("no body", async () => {
    const { status, error } = await refused("/v1/chat/completions", "");
    expect([status, error.code]).toEqual([400, "malformed_json"]);
  });

  test("a body too large", async () => {
    const { status, error } = await refused("/v1/chat/completions", { filler: "x".repeat(200_000) });
    expect([status, error.code]).toEqual([413, "request_too_large"]);
  });

  test("another content type", async () => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const answer = await fetch(`${daemon.url}/v1/chat/completions`, { method: "POST", headers, body: "a=b" });
    expect([answer.status, (await json(answer)).error.code]).toEqual([415, "unsupported_media_type"]);
  });

  test.each(["/nothing", "/v1", "/models/load"])("unknown: GET %s", async (path) => {
    const answer = await fetch(daemon.url + path);
    const { error } = await json(answer);
    expect([answer.status, error.code, error.type]).toEqual([404, "not_found", "invalid_request_error"]);
    expect(error.message).toContain(`GET ${path}`);
  });

  test("a malformed url", async () => {
    const answer = await fetch(`${daemon.url}/v1/models/%E0%A4%A`);
    expect([answer.status, (await json(answer)).error.code]).toEqual([400, "bad_request"]);
  });
});

test("an unknown model is 404 with the list, even if only one is loaded", async () => {
  for (const path of ["/v1/chat/completions", "/v1/completions"]) {
    const { status, error } = await refused(path, { model: "gpt-4o", messages, prompt: "x" });
    expect([status, error.code, error.param]).toEqual([404, "model_not_found", "model"]);
    expect(error.message).toBe('model "gpt-4o" is not loaded; loaded: org/fake');
  }
});

test("the words that make agents compact their history", async () => {
  const details = { max: 4096, promptTokens: 5000 };
  daemon.model.script = [new EngineError("context_length_exceeded", "Shorten the prompt.", details)];
  const { error } = await refused("/v1/chat/completions", { model: "org/fake", messages });
  expect(error.message).toContain("maximum context length is 4096 tokens");
  expect(error.message).toContain("5000");
});

test.each(errorCodes.filter((code) => code !== "internal"))(
  "the engine's %s has its status",
  async (code) => {
    daemon.model.script = [new EngineError(code, `all about ${code}`)];
    const { status, error, headers } = await refused("/v1/chat/completions", { model: "org/fake", messages });
    const { status: wanted, type, retryAfterS } = answers[code];
    expect([status, error.code, error.type]).toEqual([wanted, code, type]);
    expect(headers.get("retry-after")).toBe(retryAfterS === undefined ? null : String(retryAfterS));
    expect(headers.get("x-should-retry")).toBe(retryAfterS === undefined ? "false" : null);
  },
);

test("what a client writes stays one line of the log", async () => {
  await refused("/v1/chat/completions", { model: "x\n\u001b[31merror: all is lost", messages });
  expect(daemon.logged.at(-1)).toContain('model "x\\x0a\\x1b[31merror: all is lost" is not loaded');
});

test("waiting helps against these, and only these", () => {
  const temporary = errorCodes.filter((code) => answers[code].retryAfterS !== undefined);
  expect(temporary).toEqual([
    ...[
      "model_loading",
      "device_lost",
      "load_stalled",
      "queue_full",
      "rate_limit_exceeded",
      "shutting_down",
      "cancelled",
    ],
  ]);
});

test("a bug shows its text to the log alone", async () => {
  daemon.model.script = [new TypeError("x is not a function at line 5")];
  const { status, error } = await refused("/v1/chat/completions", { model: "org/fake", messages });
  expect([status, error.code]).toEqual([500, "internal"]);
  expect(error.message).toMatch(/request req_[0-9a-f]+$/);
  expect(daemon.logged.join("")).toContain("TypeError: x is not a function at line 5\n    at");
});
