// The real client of OpenAI against the daemon, over real sockets: what it parses and types is the contract.

import OpenAI, { APIConnectionTimeoutError, APIError, BadRequestError, NotFoundError } from "openai";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { startDaemon } from "./daemon.fixture.ts";
import type { Daemon } from "./daemon.fixture.ts";
import { content, finished, hello, reasoning, started, token } from "./fake-engine.fixture.ts";

let daemon: Daemon;
let client: OpenAI;
const base = { model: "org/fake", messages: [{ role: "user" as const, content: "hi" }] };

beforeAll(async () => {
  daemon = await startDaemon({ keepaliveMs: 30 });
  client = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => daemon.close());
beforeEach(() => {
  daemon.model.script = hello;
});

const weather = {
  type: "function" as const,
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};
const calls = [
  started,
  reasoning("Look it up."),
  { type: "tool_call", index: 0, id: "call_a", name: "weather" },
  { type: "tool_arguments", index: 0, json: '{"city":' },
  { type: "tool_arguments", index: 0, json: '"Oslo"}' },
  finished("tool_calls"),
] as const;

test("chat", async () => {
  const answer = await client.chat.completions.create({ ...base, max_tokens: 5, temperature: 0 });
  expect(answer.choices[0]!.message.content).toBe("Hello world");
  expect(answer.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 });
  expect(answer._request_id).toMatch(/^req_/);
});

test("a stream, through keepalives, gathered by the client", async () => {
  daemon.model.script = [started, 100, ...hello.slice(1)];
  const runner = client.chat.completions.stream({ ...base, stream_options: { include_usage: true } });
  const whole = await runner.finalChatCompletion();
  expect(whole.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "Hello world" } });
  expect(whole.usage?.prompt_tokens_details?.cached_tokens).toBe(3);
});

test("tools, whole and streamed, and the answer to their results", async () => {
  daemon.model.script = [...calls];
  const whole = await client.chat.completions.create({ ...base, tools: [weather] });
  const [call] = whole.choices[0]!.message.tool_calls!;
  expect(call).toEqual({
    id: "call_a",
    type: "function",
    function: { name: "weather", arguments: '{"city":"Oslo"}' },
  });
  const streamed = await client.chat.completions.stream({ ...base, tools: [weather] }).finalMessage();
  expect(streamed.tool_calls).toMatchObject([{ id: "call_a", function: { arguments: '{"city":"Oslo"}' } }]);

  daemon.model.script = hello;
  const result = { role: "tool" as const, tool_call_id: "call_a", content: "rain" };
  await client.chat.completions.create({ ...base, messages: [...base.messages, streamed, result] });
  expect(daemon.model.asked.at(-1)).toMatchObject({
    messages: [{}, { tool_calls: [{ id: "call_a" }] }, { role: "tool" }],
  });
});

test("the client runs the tools by itself", async () => {
  daemon.model.script = [...calls];
  const asked: string[] = [];
  const runner = client.chat.completions.runTools({
    ...base,
    tools: [
      {
        type: "function",
        function: {
          name: "weather",
          description: "tells it",
          parameters: { type: "object" },
          parse: JSON.parse,
          function: ({ city }: { city: string }) => {
            asked.push(city);
            daemon.model.script = hello;
            return "rain";
          },
        },
      },
    ],
  });
  expect(await runner.finalContent()).toBe("Hello world");
  expect(asked).toEqual(["Oslo"]);
});

test("logprobs", async () => {
  daemon.model.script = [started, content("Hi", [token(3, "Hi", -0.5)]), finished()];
  const answer = await client.chat.completions.create({ ...base, logprobs: true, top_logprobs: 2 });
  expect(answer.choices[0]!.logprobs!.content).toMatchObject([
    { token: "Hi", logprob: -0.5, top_logprobs: [{ token: "Hi" }, { token: "other" }] },
  ]);
});

test("completions, whole and streamed", async () => {
  const whole = await client.completions.create({ model: "org/fake", prompt: "Once", logprobs: 1 });
  expect(whole.choices[0]!.text).toBe("Hello world");
  const stream = await client.completions.create({ model: "org/fake", prompt: "Once", stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
  expect(text).toBe("Hello world");
});

test("models", async () => {
  const page = await client.models.list();
  expect(page.data.map((model) => model.id)).toEqual(["org/fake"]);
  expect(await client.models.retrieve("org/fake")).toMatchObject({ id: "org/fake", object: "model" });
});

test("errors arrive as the client's own classes", async () => {
  await expect(client.chat.completions.create({ ...base, model: "none" })).rejects.toThrow(NotFoundError);
  await expect(client.chat.completions.create({ ...base, n: 17 })).rejects.toThrow(BadRequestError);
  daemon.model.script = [new EngineError("context_length_exceeded", "", { max: 5, promptTokens: 9 })];
  await expect(client.chat.completions.create({ ...base, stream: true })).rejects.toMatchObject({
    status: 400,
    code: "context_length_exceeded",
  });
  daemon.model.script = [started, content("Hel"), new EngineError("device_lost", "the GPU is gone")];
  const broken = client.chat.completions.stream(base).finalMessage();
  await expect(broken).rejects.toThrow(APIError);
  await expect(broken).rejects.toThrow("the GPU is gone");
  await daemon.models.load({ id: "org/fake" });
});

test("the client repeats what is temporary, and only that", async () => {
  const patient = client.withOptions({ maxRetries: 2 });
  daemon.model.script = [new EngineError("bad_checkpoint", "damaged")];
  const before = daemon.model.asked.length;
  await expect(patient.chat.completions.create(base)).rejects.toThrow();
  expect(daemon.model.asked.length - before).toBe(1);
});

test("hanging up and giving up end the generation", async () => {
  daemon.model.script = [started, content("Hel"), new Promise(() => undefined)];
  const before = daemon.model.cut;
  const stream = await client.chat.completions.create({ ...base, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "Hel") break;
  const impatient = client.chat.completions.create(base, { timeout: 50 });
  await expect(impatient).rejects.toThrow(APIConnectionTimeoutError);
  for (let i = 0; i < 100 && daemon.model.cut < before + 2; i++) await new Promise((r) => setTimeout(r, 5));
  expect(daemon.model.cut).toBe(before + 2);
});
