import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { emptyModelFolder, events, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { FakeModel, content, finished, hello, reasoning, started, token } from "./fake-engine.fixture.ts";

let daemon: Daemon;
const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };

beforeEach(async () => {
  daemon = await startDaemon({ keepaliveMs: 40, stallMs: 300 });
});
afterEach(() => daemon.close());

const chat = (more: object = {}, signal?: AbortSignal) =>
  post(`${daemon.url}/v1/chat/completions`, { ...body, ...more }, signal);

async function frames(more: object = {}) {
  const answer = await chat({ stream: true, ...more });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  return events(await answer.text());
}

const usage = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 3 },
  completion_tokens_details: { reasoning_tokens: 2 },
};
const call = [
  { type: "tool_call", index: 0, id: "call_1", name: "add" },
  { type: "tool_arguments", index: 0, json: '{"a":' },
  { type: "tool_arguments", index: 0, json: "1}" },
  { type: "tool_call", index: 1, id: "call_2", name: "stop" },
  { type: "tool_arguments", index: 1, json: "{}" },
] as const;

describe("whole answers", () => {
  test("text", async () => {
    const answer = await chat();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
    const whole = await json(answer);
    expect(whole).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: "chat.completion",
      created: expect.any(Number),
      model: "org/fake",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello world", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage,
      timings: { prefill_ms: 5, decode_ms: 70 },
    });
    expect(Math.abs(Date.now() / 1000 - whole.created)).toBeLessThan(5);
  });

  test("reasoning, tool calls and a stop string", async () => {
    daemon.model.script = [
      started,
      reasoning("I add"),
      reasoning("."),
      ...call,
      finished("tool_calls", "END"),
    ];
    const { choices } = await json(chat());
    expect(choices[0]).toEqual({
      index: 0,
      message: {
        role: "assistant",
        content: null,
        refusal: null,
        reasoning_content: "I add.",
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "add", arguments: '{"a":1}' } },
          { id: "call_2", type: "function", function: { name: "stop", arguments: "{}" } },
        ],
      },
      logprobs: null,
      finish_reason: "tool_calls",
      stop_reason: "END",
    });
  });

  test("logprobs", async () => {
    daemon.model.script = [
      started,
      content("Hi", [token(5, "H", -0.5), token(9, "i", -1.5)]),
      finished("length"),
    ];
    const { choices } = await json(chat({ logprobs: true, top_logprobs: 2 }));
    expect(choices[0].finish_reason).toBe("length");
    expect(choices[0].logprobs).toEqual({
      content: [
        {
          token: "H",
          logprob: -0.5,
          bytes: [72],
          top_logprobs: [
            { token: "H", logprob: -0.5, bytes: [72] },
            { token: "other", logprob: -2.5, bytes: [111, 116, 104, 101, 114] },
          ],
        },
        expect.objectContaining({ token: "i", logprob: -1.5, bytes: [105] }),
      ],
      refusal: null,
    });
    expect(daemon.model.asked[0]!.options.topLogprobs).toBe(2);
  });

  test("an empty answer has empty content, not null", async () => {
    daemon.model.script = [started, finished("length")];
    const { choices } = await json(chat());
    expect(choices[0].message.content).toBe("");
  });
});

describe("streams", () => {
  test("role, content, finish reason, [DONE]; no usage unasked", async () => {
    const all = await frames();
    const chunks = all.slice(0, -1) as Json[];
    expect(all.at(-1)).toBe("[DONE]");
    expect(new Set(chunks.map((chunk) => chunk["id"])).size).toBe(1);
    for (const chunk of chunks) {
      expect(chunk).toMatchObject({
        object: "chat.completion.chunk",
        model: "org/fake",
        created: expect.any(Number),
      });
      expect(chunk).not.toHaveProperty("usage");
    }
    expect(chunks.map((chunk) => chunk["choices"][0])).toEqual([
      { index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: "Hello" }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: " world" }, logprobs: null, finish_reason: null },
      { index: 0, delta: {}, logprobs: null, finish_reason: "stop" },
    ]);
    expect(chunks.at(-1)!["timings"]).toEqual({ prefill_ms: 5, decode_ms: 70 });
  });

  test("usage on request: null in every chunk, then one of its own", async () => {
    const chunks = (await frames({ stream_options: { include_usage: true } })).slice(0, -1) as Json[];
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage });
    for (const chunk of chunks.slice(0, -1)) expect(chunk["usage"]).toBeNull();
  });

  test("reasoning and tool calls", async () => {
    daemon.model.script = [started, reasoning("hm"), content("so"), ...call, finished("tool_calls")];
    const deltas = (await frames()).slice(0, -1).map((chunk) => (chunk as Json).choices[0].delta);
    expect(deltas.slice(1, -1)).toEqual([
      { reasoning_content: "hm" },
      { content: "so" },
      {
        tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "add", arguments: "" } }],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"a":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: "1}" } }] },
      {
        tool_calls: [{ index: 1, id: "call_2", type: "function", function: { name: "stop", arguments: "" } }],
      },
      { tool_calls: [{ index: 1, function: { arguments: "{}" } }] },
    ]);
  });

  test("logprobs travel with their content, also where the text is still held back", async () => {
    const half = token(7, "\ufffd", -0.1, [0xc3]);
    daemon.model.script = [
      started,
      content("", [half]),
      content("ä", [token(8, "¤", -0.2, [0xa4])]),
      finished(),
    ];
    const chunks = (await frames({ logprobs: true })).slice(1, 3) as Json[];
    expect(chunks.map((chunk) => chunk.choices[0].logprobs.content[0].bytes)).toEqual([[0xc3], [0xa4]]);
    daemon.model.script = [started, content("", [half]), content("ä"), finished()];
    expect(await frames()).toHaveLength(4);
  });

  test("what is wrong before the first token is a plain status, also for a stream", async () => {
    daemon.model.script = [
      new EngineError("context_length_exceeded", "too long", { max: 4096, promptTokens: 5000 }),
    ];
    const answer = await chat({ stream: true });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: "context_length_exceeded" } });
  });

  test("what breaks in the middle is an error event, then the end without finish reason and [DONE]", async () => {
    daemon.model.script = [started, content("Hel"), new EngineError("device_lost", "the GPU is gone")];
    const all = await frames();
    expect(all.at(-1)).toEqual({
      error: { message: "the GPU is gone", type: "server_error", code: "device_lost", param: null },
    });
    expect(all).not.toContain("[DONE]");
    expect(JSON.stringify(all)).not.toContain('"finish_reason":"');
  });

  test("a bug in the middle keeps its text to the log", async () => {
    daemon.model.script = [started, new TypeError("secret of the code")];
    expect(JSON.stringify(await frames())).not.toContain("secret");
    expect(daemon.logged.join("")).toContain("TypeError: secret of the code");
  });

  test("keepalives are empty chunks, after `started` and before it", async () => {
    daemon.model.script = [started, 130, content("late"), finished()];
    const inside = (await frames()).slice(1, -3) as Json[];
    expect(inside.length).toBeGreaterThanOrEqual(2);
    for (const chunk of inside) expect(chunk.choices[0].delta).toEqual({ content: "" });
    daemon.model.script = [130, started, content("late"), finished()];
    const answer = await chat({ stream: true });
    const reader = answer.body!.getReader();
    const first = Buffer.from((await reader.read()).value!).toString();
    expect(first).toContain('"role":"assistant"');
    expect(first).not.toContain("late");
    await reader.cancel();
  });

  test("no keepalive where tokens flow", async () => {
    daemon.model.script = [
      started,
      ...Array.from({ length: 10 }, () => [15, content("x")] as const).flat(),
      finished(),
    ];
    const deltas = (await frames()).slice(1, -2).map((chunk) => (chunk as Json).choices[0].delta.content);
    expect(deltas.join("")).toBe("xxxxxxxxxx");
    expect(deltas.filter((text) => text === "").length).toBeLessThanOrEqual(2);
  });
});

describe("hanging up", () => {
  async function until(condition: () => boolean): Promise<void> {
    for (let i = 0; i < 4000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(condition()).toBe(true);
  }
  const never = new Promise(() => undefined);

  test.each([
    ["a stream", true],
    ["a whole answer", false],
  ])("ends the generation of %s", async (_, stream) => {
    daemon.model.script = [started, content("Hel"), never];
    const hangUp = new AbortController();
    const asked = chat({ stream }, hangUp.signal).then((answer) => answer.text());
    await until(() => daemon.model.load.running === 1);
    hangUp.abort();
    await expect(asked).rejects.toThrow();
    await until(() => daemon.model.cut === 1 && daemon.model.load.running === 0);
    expect(daemon.model.signals[0]!.aborted).toBe(true);
  });

  test.each([
    ["a stream", true],
    ["a whole answer", false],
  ])("takes %s out of the queue", async (_, stream) => {
    let go: (value?: unknown) => void = () => undefined;
    daemon.model.script = [started, new Promise((resolve) => (go = resolve)), ...hello.slice(1)];
    const running = chat();
    await until(() => daemon.model.load.running === 1);
    const hangUp = new AbortController();
    const queued = chat({ stream }, hangUp.signal).then((answer) => answer.text());
    await until(() => daemon.model.load.waiting === 1);
    hangUp.abort();
    await expect(queued).rejects.toThrow();
    await until(() => daemon.model.load.waiting === 0);
    expect(daemon.model.load.running).toBe(1);
    go();
    expect((await json(running)).choices[0].message.content).toBe("Hello world");
  });

  test("a client that does not read is cut off", async () => {
    const flood = Array.from({ length: 400 }, () => content("x".repeat(100_000)));
    daemon.model.script = [started, ...flood, finished()];
    const answer = await chat({ stream: true });
    await until(() => daemon.model.cut === 1);
    await expect(answer.text()).rejects.toThrow();
    expect(daemon.logged.join("")).toContain("the client read nothing for 300 ms");
  });

  test("the daemon's stop ends a stream with a word of its own", async () => {
    daemon.model.script = [started, content("Hel"), never];
    const asked = frames();
    await until(() => daemon.model.load.running === 1);
    daemon.stop.abort();
    expect((await asked).at(-1)).toMatchObject({ error: { code: "shutting_down" } });
  });
});

describe("what the engine is asked", () => {
  const asked = () => daemon.model.asked.at(-1) as Json;

  test("every option", async () => {
    await chat({
      max_tokens: 5,
      max_completion_tokens: 17,
      temperature: 0.7,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      seed: 123,
      stop: ["a", "b", "c", "d", "e"],
      repetition_penalty: 1.1,
      presence_penalty: 0.5,
      frequency_penalty: -0.5,
      logit_bias: { "12": -100, "999": 3 },
      logprobs: true,
      user: "me",
      metadata: { a: "b" },
      store: false,
      n: 1,
      service_tier: "auto",
      response_format: { type: "text" },
      parallel_tool_calls: true,
      something_new: { of: "a client" },
    });
    expect(asked().options).toEqual({
      maxTokens: 17,
      temperature: 0.7,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      seed: 123,
      stop: ["a", "b", "c", "d", "e"],
      repetitionPenalty: 1.1,
      presencePenalty: 0.5,
      frequencyPenalty: -0.5,
      logitBias: { 12: -100, 999: 3 },
      topLogprobs: 0,
    });
  });

  test("nothing said, nothing set; null is nothing", async () => {
    await chat({
      max_tokens: null,
      temperature: null,
      stop: null,
      tools: null,
      logit_bias: null,
      tool_choice: null,
    });
    expect(asked()).toEqual({ messages: [{ role: "user", content: "hi" }], options: {} });
  });

  test("top_k -1 keeps all, one stop string is a list of one", async () => {
    await chat({ top_k: -1, stop: "END" });
    expect(asked().options).toEqual({ topK: 0, stop: ["END"] });
  });

  test("thinking", async () => {
    await chat({ reasoning_effort: "high" });
    expect(asked().templateArguments).toEqual({ reasoning_effort: "high", enable_thinking: true });
    await chat({ reasoning_effort: "high", enable_thinking: false });
    expect(asked().templateArguments).toEqual({ reasoning_effort: "high", enable_thinking: false });
    await chat({ reasoning_effort: "none" });
    expect(asked().templateArguments).toEqual({ reasoning_effort: "none", enable_thinking: false });
    await chat({ enable_thinking: true, chat_template_kwargs: { enable_thinking: false, extra: 1 } });
    expect(asked().templateArguments).toEqual({ enable_thinking: false, extra: 1 });
  });

  test("messages", async () => {
    const toolCall = { id: "call_1", type: "function", function: { name: "add", arguments: '{"a":1}' } };
    await chat({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "developer", content: [{ type: "text", text: "Be kind." }] },
        {
          role: "user",
          content: [
            { type: "text", text: "1" },
            { type: "text", text: "+1" },
          ],
        },
        { role: "assistant", content: null, reasoning_content: "hm", tool_calls: [toolCall] },
        { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "2" }] },
        { role: "assistant", content: "2", refusal: null, audio: null },
        { role: "system", content: "later" },
        { role: "user", content: "thanks", name: "Ann" },
      ],
    });
    expect(asked().messages).toEqual([
      { role: "system", content: "Be brief.\n\nBe kind." },
      { role: "user", content: "1+1" },
      { role: "assistant", content: null, reasoning_content: "hm", tool_calls: [toolCall] },
      { role: "tool", tool_call_id: "call_1", content: "2" },
      { role: "assistant", content: "2" },
      { role: "system", content: "later" },
      { role: "user", content: "thanks", name: "Ann" },
    ]);
  });

  test("tools, and none of them for tool_choice none", async () => {
    const tools = [
      {
        type: "function",
        function: { name: "add", description: "adds", parameters: { type: "object" }, strict: false },
      },
      { type: "function", function: { name: "stop" } },
    ];
    await chat({ tools, tool_choice: "auto" });
    expect(asked().tools).toEqual([
      { type: "function", function: { name: "add", description: "adds", parameters: { type: "object" } } },
      { type: "function", function: { name: "stop" } },
    ]);
    await chat({ tools, tool_choice: "none" });
    expect(asked().tools).toBeUndefined();
  });

  test("which tools must be called, and how many times", async () => {
    const tools = [{ type: "function", function: { name: "add", strict: true } }];
    await chat({ tools });
    expect(asked().tools).toEqual(tools);
    expect(asked()).not.toHaveProperty("toolChoice");
    expect(asked()).not.toHaveProperty("parallelToolCalls");
    await chat({ tools, tool_choice: "required", parallel_tool_calls: true });
    expect(asked()).toMatchObject({ toolChoice: "required" });
    expect(asked()).not.toHaveProperty("parallelToolCalls");
    const named = { type: "function", function: { name: "add" } };
    await chat({ tools, tool_choice: named, parallel_tool_calls: false });
    expect(asked()).toMatchObject({ toolChoice: { name: "add" }, parallelToolCalls: false });
  });

  test.each([
    [{ type: "text" }, undefined],
    [{ type: "json_object" }, { type: "json_object" }],
    [
      { type: "json_schema", json_schema: { name: "x", schema: { type: "array" } } },
      { type: "json_schema", schema: { type: "array" }, strict: false },
    ],
    [
      { type: "json_schema", json_schema: { name: "x", schema: {}, strict: true } },
      { type: "json_schema", schema: {}, strict: true },
    ],
  ])("response_format %j", async (response_format, format) => {
    await chat({ response_format });
    expect(asked().format).toEqual(format);
  });

  const begun = [...body.messages, { role: "assistant", content: "The cap" }];
  test.each<[object, object]>([
    [{ continue_final_message: true, add_generation_prompt: false }, { continueFinal: true }],
    [{ continue_final_message: true, response_format: { type: "text" } }, { continueFinal: true }],
    [{ continue_final_message: false, add_generation_prompt: true }, {}],
    [{ add_generation_prompt: false }, { addGenerationPrompt: false }],
  ])("%j", async (wish, want) => {
    expect((await chat({ ...wish, messages: begun })).status).toBe(200);
    const { continueFinal, addGenerationPrompt, messages } = asked();
    expect({ continueFinal, addGenerationPrompt }).toEqual(want);
    expect(messages.at(-1)).toEqual({ role: "assistant", content: "The cap" });
  });

  test.each<[string, object]>([
    ["add_generation_prompt", { add_generation_prompt: true }],
    ["response_format", { response_format: { type: "json_object" } }],
    ["tool_choice", { tool_choice: "required", tools: [{ type: "function", function: { name: "f" } }] }],
  ])("an answer cannot go on with %s", async (param, wish) => {
    const refused = await chat({ ...wish, messages: begun, continue_final_message: true });
    expect([refused.status, (await json(refused)).error]).toMatchObject([
      400,
      { code: "bad_request", param },
    ]);
  });

  test("an error does not repeat what is long", async () => {
    const refused = await chat({ messages: [{ role: "x".repeat(100_000), content: "" }] });
    const { message, param } = (await json(refused)).error;
    expect([refused.status, param, message.length < 700]).toEqual([400, "messages.0.role", true]);
  });

  test("pictures reach a model that sees", async () => {
    const messages = [
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "auto" } },
          { type: "text", text: "what?" },
        ],
      },
    ];
    const refused = await chat({ messages });
    expect([refused.status, (await json(refused)).error]).toMatchObject([
      400,
      { code: "vision_unsupported", param: "messages.0.content.0" },
    ]);
    daemon.engine.next = new FakeModel({ capabilities: ["text", "vision"] });
    const seeing = daemon.engine.next;
    await daemon.models.load({
      id: "eyes",
      source: emptyModelFolder(),
    });
    expect((await chat({ model: "eyes", messages })).status).toBe(200);
    expect((seeing.asked[0] as Json).messages[0].content).toEqual([
      { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
      { type: "text", text: "what?" },
    ]);
  });
});
