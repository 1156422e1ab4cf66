// Anthropic's SDK and bare requests against the gateway, with a scripted neuron, over real sockets.
import Anthropic, { APIError } from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import * as clients from "../dialects/clients.fixture.ts";
import { seal } from "../dialects/seal.ts";
import type { Json } from "../dialects/streams.fixture.ts";
import { framesOf, readMessage } from "../dialects/streams.fixture.ts";
import { openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { json } from "../fixtures/mock-neuron.fixture.ts";
import {
  ending,
  hello,
  keepalive,
  opening,
  said,
  script,
  thought,
  twoCalls,
} from "../fixtures/scripted.fixture.ts";

const messages = [{ role: "user" as const, content: "Hello" }];
const ask = { model: "demo", max_tokens: 64, messages };
const path = "/v1/messages";

async function open(settings: Json = {}) {
  const neuron = await openNeuron("demo");
  neuron.answer = hello;
  const gateway = await openGateway({ neurons: { a: neuron }, ...settings });
  const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: "none", maxRetries: 0 });
  return { neuron, gateway, anthropic, sent: () => JSON.parse(neuron.requests.at(-1)!.body) as Json };
}

test("a message, whole and streamed, is the same", async () => {
  const { anthropic, sent, neuron } = await open();
  const whole = await anthropic.messages.create(ask);
  expect(whole).toMatchObject({
    ...{ type: "message", role: "assistant", model: "demo", stop_reason: "end_turn", stop_sequence: null },
    content: [{ type: "text", text: "Hello" }],
    usage: { input_tokens: 26, output_tokens: 17, cache_read_input_tokens: 5 },
  });
  expect([whole.id, whole._request_id]).toEqual([
    ...[expect.stringMatching(/^msg_[0-9a-f]{32}$/), expect.stringMatching(/^[0-9a-f-]{36}$/)],
  ]);
  expect(neuron.requests[0]!.path).toBe("/v1/chat/completions");
  expect(sent()).toEqual({
    ...{ model: "demo", messages, stream: true, max_tokens: 64 },
    stream_options: { include_usage: true, prompt_usage: true },
    chat_template_kwargs: { enable_thinking: false },
  });
  const stream = anthropic.messages.stream(ask);
  expect(await stream.finalText()).toBe("Hello");
  const { content, usage, stop_reason } = whole;
  expect(await stream.finalMessage()).toMatchObject({ content, usage, stop_reason });
});

test("thinking and two tools at once; the next turn finds the thoughts again", async () => {
  const { anthropic, neuron, sent } = await open();
  neuron.answer = script(opening, thought("Two "), thought("calls."), said("I look."), twoCalls);
  const tools = [{ name: "ls", input_schema: { type: "object" as const } }];
  for (const display of ["summarized", "omitted"] as const) {
    const thinking = { type: "adaptive" as const, display };
    const stream = anthropic.messages.stream({ ...ask, tools, thinking });
    const answer = await stream.finalMessage();
    expect(answer.content).toMatchObject([
      {
        type: "thinking",
        thinking: display === "omitted" ? "" : "Two calls.",
        signature: seal("Two calls."),
      },
      { type: "text", text: "I look." },
      { type: "tool_use", id: "call_a", name: "ls", input: { path: "/" } },
      { type: "tool_use", id: "call_b", name: "ls", input: {} },
    ]);
    expect(answer.stop_reason).toBe("tool_use");
    expect(await anthropic.messages.create({ ...ask, tools, thinking })).toMatchObject({
      content: answer.content,
    });
    const results = ["call_b", "call_a"].map((tool_use_id) => ({
      ...{ type: "tool_result" as const, tool_use_id, content: "x" },
    }));
    const next = [...messages, { role: "assistant" as const, content: answer.content }];
    await anthropic.messages.create({
      ...ask,
      tools,
      thinking,
      messages: [...next, { role: "user", content: results }],
    });
    expect(sent().messages.slice(1)).toMatchObject([
      {
        ...{ role: "assistant", content: "I look.", reasoning_content: "Two calls." },
        tool_calls: [{ id: "call_a" }, { id: "call_b" }],
      },
      { role: "tool", tool_call_id: "call_b" },
      { role: "tool", tool_call_id: "call_a" },
    ]);
  }
});

test("a thread brings its new messages alone; one that is lost is told from the start again", async () => {
  const { anthropic, gateway, sent, neuron } = await open();
  const thread = anthropic.beta.messages.thread({ model: "demo", max_tokens: 64, system: "be brief" });
  await thread.send({ role: "user", content: "one" });
  const streamed = await thread.stream({ role: "user", content: "two" }).finalMessage();
  expect(streamed.content).toMatchObject([{ type: "text", text: "Hello" }]);
  const history = ["be brief", "one", "Hello", "two"];
  const contents = () => (sent().messages as Json[]).map(({ content }) => content);
  expect(contents()).toEqual(history);
  const lost = { ...ask, thread: { type: "continue", previous_message_id: "msg_none" } };
  const refused = await post(gateway, lost, { path });
  expect([refused.status, await refused.json()]).toMatchObject([
    ...[404, { error: { type: "not_found_error", details: { error_code: "thread_not_found" } } }],
  ]);
  expect(await gateway.gateway.store.delete(`resp.${streamed.id}`)).toBe(true);
  await thread.send({ role: "user", content: "three" });
  expect(contents()).toEqual([...history, "Hello", "three"]);
  expect(neuron.requests).toHaveLength(3);
});

test("an assistant's beginning is continued", async () => {
  const { anthropic, sent } = await open();
  const begun = { role: "assistant" as const, content: "The capital is" };
  await anthropic.messages.create({ ...ask, messages: [...messages, begun] });
  expect(sent()).toMatchObject({
    ...{ messages: [...messages, begun], continue_final_message: true, add_generation_prompt: false },
  });
});

test("who did not ask for thoughts gets the text first", async () => {
  const { anthropic, neuron } = await open();
  neuron.answer = script(opening, thought("Hm"), said("Yes"), ending());
  const answer = await anthropic.messages.create(ask);
  expect(answer.content).toMatchObject([{ type: "text", text: "Yes" }]);
  expect(answer.usage.output_tokens_details).toEqual({ thinking_tokens: 7 });
});

test("a stop sequence is told; a picture and a system prompt are passed on", async () => {
  const { anthropic, neuron, sent } = await open();
  neuron.answer = script(opening, said("one"), ending("stop", { stop_reason: "END" }));
  const source = { type: "base64" as const, media_type: "image/png" as const, data: clients.pixel };
  const answer = await anthropic.messages.create({
    ...ask,
    stop_sequences: ["END"],
    system: "be brief",
    messages: [
      {
        role: "user",
        content: [
          { type: "image", source },
          { type: "text", text: "What?" },
        ],
      },
    ],
  });
  expect([answer.stop_reason, answer.stop_sequence]).toEqual(["stop_sequence", "END"]);
  expect(sent()).toMatchObject({
    stop: ["END"],
    messages: [
      { role: "system", content: "be brief" },
      { role: "user", content: [{ type: "image_url" }, { type: "text", text: "What?" }] },
    ],
  });
});

test.each(clients.messagesRequests)("%s: a stream in order", async (_, body) => {
  const { gateway } = await open();
  const response = await post(gateway, body, { path: `${path}?beta=true` });
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/event-stream; charset=utf-8",
  ]);
  const { message } = readMessage(framesOf(await response.text()));
  expect(message.content).toMatchObject(body.stream ? [{ text: "Hello" }] : []);
  expect(message.context_management).toEqual(body.context_management && { applied_edits: [] });
});

test("message_start knows how long the prompt is, and pings come before it and after", async () => {
  const { gateway, neuron } = await open({ cortex: { gateway: { keepalive_s: 0.05 } } });
  neuron.answer = script(keepalive, 130, keepalive, opening, 130, said("a"), ending());
  const response = await post(gateway, { ...ask, stream: true }, { path });
  const frames = framesOf(await response.text());
  const names = frames.map(({ event }) => event);
  expect(new Set(names.slice(0, names.indexOf("message_start")))).toEqual(new Set(["ping"]));
  expect(names.slice(names.indexOf("message_start"), names.indexOf("content_block_start"))).toContain("ping");
  const { message } = readMessage(frames);
  expect(message.usage.input_tokens).toBe(26);
  const start = frames.find(({ event }) => event === "message_start")!.data as Json;
  expect(start.message.usage.input_tokens).toBe(31);
});

test("counting asks the neuron for exactly that prompt", async () => {
  const { anthropic, neuron, sent, gateway } = await open();
  neuron.answer = (_, response) => json(response, 200, { input_tokens: 1234 });
  const tools = [{ name: "f", input_schema: { type: "object" as const } }];
  const count = await anthropic.messages.countTokens({
    ...ask,
    system: "s",
    tools,
    tool_choice: { type: "any" },
  });
  expect(count).toEqual({ input_tokens: 1234 });
  expect(neuron.requests[0]!.path).toBe("/v1/chat/completions/input_tokens");
  expect(sent()).toEqual({
    model: "demo",
    messages: [{ role: "system", content: "s" }, ...messages],
    tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
    chat_template_kwargs: { enable_thinking: false },
  });
  const counts = Array.from({ length: 24 }, () =>
    post(gateway, clients.claudeCodeCount, { path: `${path}/count_tokens?beta=true` }),
  );
  for (const response of await Promise.all(counts))
    expect(await response.json()).toEqual({ input_tokens: 1234 });
  neuron.answer = (_, response) => json(response, 200, { tokens: "many" });
  await expect(anthropic.messages.countTokens(ask)).rejects.toMatchObject({ status: 502 });
});

test("models, in pages", async () => {
  const neurons = { a: await openNeuron("a", "b", "c") };
  const gateway = await openGateway({ neurons });
  const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: "none", maxRetries: 0 });
  const ids: string[] = [];
  for await (const { id, max_input_tokens } of anthropic.models.list({ limit: 2 })) {
    ids.push(id);
    expect(max_input_tokens).toBe(4096);
  }
  expect(ids).toEqual(["a", "b", "c"]);
  expect(await anthropic.models.retrieve("b")).toMatchObject({ type: "model", id: "b" });
  await expect(anthropic.models.retrieve("x")).rejects.toMatchObject({
    status: 404,
    type: "not_found_error",
  });
});

const refusal = (status: number, code: string, message: string, headers = {}) => ({
  ...{ status, headers, body: { error: { message, type: "server_error", code, param: null } } },
});

test.each<[string, ReturnType<typeof refusal>, Json]>([
  [
    "a prompt that is too long",
    refusal(
      400,
      "context_length_exceeded",
      "This model's maximum context length is 8 tokens, but the prompt has 9 tokens.",
    ),
    {
      status: 400,
      type: "invalid_request_error",
      message: "prompt is too long: 9 tokens > 8 maximum",
      should: "false",
    },
  ],
  [
    "what the neuron cannot do",
    refusal(400, "unsupported_parameter", "tool_choice: required is not supported"),
    {
      status: 400,
      type: "invalid_request_error",
      message: "tool_choice: required is not supported",
      should: "false",
    },
  ],
  [
    "a full neuron",
    refusal(503, "queue_full", "the queue is full", { "retry-after": "7" }),
    { status: 503, type: "overloaded_error", message: "the queue is full", after: "7" },
  ],
  [
    "an error that waiting does not heal",
    refusal(500, "internal", "internal error", { "x-should-retry": "false" }),
    { status: 500, type: "api_error", message: "internal error", should: "false" },
  ],
])("%s, in Anthropic's words", async (_, { status, headers, body }, want) => {
  const { gateway, neuron, anthropic } = await open();
  neuron.answer = (_request, response) => json(response, status, body, headers);
  const { should = null, after = null, type, message } = want;
  for (const stream of [true, false]) {
    const response = await post(gateway, { ...ask, stream }, { path });
    expect([
      response.status,
      response.headers.get("x-should-retry"),
      response.headers.get("retry-after"),
    ]).toEqual([...[want.status, should, after]]);
    const id = response.headers.get("request-id");
    expect(await response.json()).toEqual({ type: "error", error: { type, message }, request_id: id });
  }
  await expect(anthropic.messages.create(ask)).rejects.toMatchObject({ status: want.status, type });
});

test.each<[string, string, Json]>([
  ["malformed", "{", { status: 400, type: "invalid_request_error", message: /not valid JSON/ }],
  ["empty", "", { status: 400, type: "invalid_request_error", message: /empty/ }],
  ["without a model", `{"messages":[]}`, { status: 400, message: /^model: Field required/ }],
  [
    "with a wrong field",
    JSON.stringify({ ...ask, tools: [{}] }),
    { status: 400, message: /^tools\.0\.name/ },
  ],
  [
    "for a model nobody has",
    JSON.stringify({ ...ask, model: "x" }),
    { status: 404, type: "not_found_error" },
  ],
  [
    "too large",
    JSON.stringify({ ...ask, x: "x".repeat(200_000) }),
    { status: 413, type: "request_too_large" },
  ],
  [
    "nested too deeply",
    `{"model":"demo","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":{"a":${"[".repeat(40_000)}${"]".repeat(40_000)}}}]}`,
    { status: 400, message: /nested/ },
  ],
])("a request %s is refused, and no neuron hears of it", async (_, body, { status, type, message = /./ }) => {
  const { gateway, neuron } = await open({ cortex: { gateway: { body_limit_mb: 0.1 } } });
  const response = await post(gateway, body, { path });
  const error = (await response.json()) as Json;
  expect([response.status, response.headers.get("x-should-retry")]).toEqual([status, "false"]);
  expect(error).toMatchObject({ type: "error", error: { type: type ?? "invalid_request_error" } });
  expect(error.error.message).toMatch(message);
  expect(neuron.requests).toHaveLength(0);
});

test("an error within the stream stops the SDK, and the stream ends without message_stop", async () => {
  const { anthropic, neuron, gateway } = await open();
  for (const steps of [
    [opening, said("Hel"), 20, "cut"],
    [opening, said("Hel")],
    [opening, `data: {"error":{"message":"lost","type":"server_error","code":"device_lost"}}\n\n`],
  ]) {
    neuron.answer = script(...steps);
    const error = await anthropic.messages
      .stream(ask)
      .finalMessage()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(APIError);
    expect((error as Json).type).toBe("api_error");
    const text = await (await post(gateway, { ...ask, stream: true }, { path })).text();
    expect(readMessage(framesOf(text)).error.error.type).toBe("api_error");
    const response = await post(gateway, ask, { path });
    expect([response.status, ((await response.json()) as Json).error.type]).toEqual([
      expect.any(Number),
      "api_error",
    ]);
    expect(response.status).toBeGreaterThanOrEqual(500);
  }
});

test("the next request of a stream that failed is counted, logged, and named", async () => {
  const { gateway, neuron } = await open();
  neuron.answer = script(opening, said("Hel"), 20, "cut");
  await (await post(gateway, { ...ask, stream: true }, { path })).text();
  await until(() => gateway.logs.some(({ event }) => event === "request"));
  expect(gateway.logs.find(({ event }) => event === "request")).toMatchObject({
    ...{ path, model: "demo", neuron: "a", status: 200, stream: true, error: "upstream_interrupted" },
    ...{ level: "warn", prompt_tokens: 31 },
  });
});
