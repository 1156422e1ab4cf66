// OpenAI's SDK and bare requests for Responses against the gateway, with a scripted neuron, over real sockets.
import { connect } from "node:net";
import OpenAI, { APIError } from "openai";
import { expect, test } from "vitest";
import * as clients from "../dialects/clients.fixture.ts";
import type { Json } from "../dialects/streams.fixture.ts";
import { framesOf, readResponse } from "../dialects/streams.fixture.ts";
import { errorOf, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { json } from "../fixtures/mock-neuron.fixture.ts";
import {
  args,
  called,
  ending,
  hello,
  opening,
  said,
  script,
  thought,
  twoCalls,
} from "../fixtures/scripted.fixture.ts";

const ask = { model: "demo", input: "Hello" };
const path = "/v1/responses";
const tools = [{ type: "function" as const, name: "ls", parameters: { type: "object" }, strict: false }];

async function open(settings: Json = {}) {
  const neuron = await openNeuron("demo");
  neuron.answer = hello;
  const gateway = await openGateway({ neurons: { a: neuron }, ...settings });
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "none", maxRetries: 0 });
  return { neuron, gateway, openai, sent: () => JSON.parse(neuron.requests.at(-1)!.body) as Json };
}

test("a response, whole and streamed, is the same", async () => {
  const { openai, sent } = await open();
  const whole = await openai.responses.create({ ...ask, instructions: "be brief", max_output_tokens: 64 });
  expect(whole).toMatchObject({ object: "response", status: "completed", output_text: "Hello", error: null });
  expect(whole.id).toMatch(/^resp_[0-9a-f]{32}$/);
  expect(whole.usage).toMatchObject({ input_tokens: 31, output_tokens: 17, total_tokens: 48 });
  expect(sent()).toEqual({
    ...{ model: "demo", stream: true, max_tokens: 64 },
    messages: [
      { role: "system", content: "be brief" },
      { role: "user", content: "Hello" },
    ],
    stream_options: { include_usage: true, prompt_usage: true },
  });
  const streamed = await openai.responses.stream(ask).finalResponse();
  expect([streamed.output_text, streamed.status, streamed.usage]).toEqual([
    "Hello",
    "completed",
    whole.usage,
  ]);
});

test("thoughts and two tools at once, then their outputs by previous_response_id", async () => {
  const { openai, neuron, sent } = await open();
  neuron.answer = script(opening, thought("Two calls."), said("I look."), twoCalls);
  const first = await openai.responses
    .stream({ ...ask, tools, reasoning: { summary: "auto" } })
    .finalResponse();
  expect(first.output).toMatchObject([
    { type: "reasoning", summary: [{ type: "summary_text", text: "Two calls." }] },
    { type: "message", content: [{ type: "output_text", text: "I look." }] },
    { type: "function_call", call_id: "call_a", name: "ls", arguments: '{"path":"/"}', status: "completed" },
    { type: "function_call", call_id: "call_b", name: "ls", arguments: "{}", status: "completed" },
  ]);
  neuron.answer = hello;
  const outputs = ["call_b", "call_a"].map((call_id) => ({
    ...{ type: "function_call_output" as const, call_id, output: "x" },
  }));
  const second = await openai.responses.create({
    ...ask,
    tools,
    input: outputs,
    previous_response_id: first.id,
  });
  expect(second.previous_response_id).toBe(first.id);
  const history = [
    { role: "user", content: "Hello" },
    {
      ...{ role: "assistant", content: "I look.", reasoning_content: "Two calls." },
      tool_calls: [{ id: "call_a" }, { id: "call_b" }],
    },
    { role: "tool", tool_call_id: "call_b", content: "x" },
    { role: "tool", tool_call_id: "call_a", content: "x" },
  ];
  expect(sent().messages).toMatchObject(history);
  await openai.responses.create({ ...ask, input: "And?", previous_response_id: second.id });
  expect(sent().messages).toMatchObject([
    ...[...history, { role: "assistant", content: "Hello" }, { role: "user", content: "And?" }],
  ]);
});

test("items by reference, as the AI SDK sends them", async () => {
  const { openai, neuron, sent } = await open();
  neuron.answer = script(opening, called(0, "call_a", "ls"), args(0, "{}"), ending("tool_calls"));
  const first = await openai.responses.create({ ...ask, tools });
  neuron.answer = hello;
  await openai.responses.create({
    ...{ model: "demo", tools },
    input: [
      { role: "user", content: "Hello" },
      { type: "item_reference", id: first.output[0]!.id! },
      { type: "function_call_output", call_id: "call_a", output: "x" },
    ],
  });
  expect(sent().messages).toMatchObject([
    { role: "user" },
    { role: "assistant", tool_calls: [{ id: "call_a", function: { name: "ls" } }] },
    { role: "tool", content: "x" },
  ]);
});

test("thoughts come back sealed, with nothing stored", async () => {
  const { openai, neuron, sent, gateway } = await open();
  neuron.answer = script(opening, thought("Hm."), said("Yes"), ending());
  const first = await openai.responses.create({
    ...{ ...ask, store: false, include: ["reasoning.encrypted_content"] },
    reasoning: { summary: "auto" },
  });
  const [reasoning, message] = first.output as Json[];
  const input = [
    { role: "user", content: "Hello" },
    { ...reasoning, summary: [] },
    message,
    { role: "user", content: "So?" },
  ];
  await openai.responses.create({ model: "demo", store: false, input: input as never });
  expect(sent().messages[1]).toEqual({ role: "assistant", content: "Yes", reasoning_content: "Hm." });
  expect((await fetch(`${gateway.url}${path}/${first.id}`)).status).toBe(404);
});

test("a stored response: got, listed, deleted, gone", async () => {
  const { openai, gateway } = await open();
  const { id, _request_id, ...made } = await openai.responses.create({ ...ask, metadata: { a: "b" } });
  expect(await openai.responses.retrieve(id)).toMatchObject({ ...made, id });
  expect(_request_id).toMatch(/./);
  const items: Json[] = [];
  for await (const item of openai.responses.inputItems.list(id)) items.push(item);
  expect(items).toMatchObject([{ type: "message", role: "user", content: [{ text: "Hello" }] }]);
  await expect(openai.responses.cancel(id)).rejects.toMatchObject({ status: 400 });
  const removed = await fetch(`${gateway.url}${path}/${id}`, { method: "DELETE" });
  expect(await removed.json()).toEqual({ id, object: "response", deleted: true });
  const { responses } = openai;
  for (const gone of [
    () => responses.retrieve(id),
    () => responses.delete(id),
    () => responses.inputItems.list(id),
  ])
    await expect(gone()).rejects.toMatchObject({ status: 404, code: "response_not_found" });
  await expect(openai.responses.create({ ...ask, previous_response_id: id })).rejects.toMatchObject({
    ...{ status: 400, code: "previous_response_not_found", param: "previous_response_id" },
  });
});

test("the response is stored before the client hears of its end", async () => {
  const { gateway } = await open();
  const put = gateway.gateway.store.put.bind(gateway.gateway.store);
  gateway.gateway.store.put = async (...args) => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    return put(...args);
  };
  const { response } = readResponse(
    framesOf(await (await post(gateway, { ...ask, stream: true }, { path })).text()),
  );
  expect(response.store).toBe(true);
  expect((await fetch(`${gateway.url}${path}/${response.id}`)).status).toBe(200);
});

test("what could not be stored says so, and so does what failed", async () => {
  const { gateway, neuron } = await open();
  gateway.gateway.store.put = () => Promise.reject(new Error("the store is away"));
  const last = async (body: object) => {
    const text = await (await post(gateway, { ...body, stream: true }, { path })).text();
    return readResponse(framesOf(text)).response;
  };
  expect(await last(ask)).toMatchObject({ status: "completed", store: false });
  expect(await (await post(gateway, ask, { path })).json()).toMatchObject({
    status: "completed",
    store: false,
  });
  expect(gateway.logs.map(({ event }) => event)).toContain("response not stored");
  neuron.answer = script(opening, said("Hel")); // and breaks off
  expect(await last(ask)).toMatchObject({ status: "failed", store: false });
});

test("the store is bounded", async () => {
  const { openai } = await open({ cortex: { responses: { max_mb: 0.05 } } });
  const large = { ...ask, input: "x".repeat(10_000) };
  const first = await openai.responses.create(large);
  for (let i = 0; i < 3; i++) await openai.responses.create(large);
  await expect(openai.responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 });
});

test.each(clients.responsesRequests)("%s: a stream in order", async (_, body) => {
  const { gateway } = await open();
  const response = await post(gateway, { ...body, stream: true }, { path });
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/event-stream; charset=utf-8",
  ]);
  const { response: whole } = readResponse(framesOf(await response.text()));
  expect(whole.output[0].content[0].text).toBe("Hello");
});

test("cut at its limit, a response is incomplete", async () => {
  const { openai, neuron } = await open();
  neuron.answer = script(opening, said("Hel"), ending("length"));
  expect(await openai.responses.create(ask)).toMatchObject({
    ...{ status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, output_text: "Hel" },
  });
  const text = (await openai.responses.stream(ask).finalResponse()).status;
  expect(text).toBe("incomplete");
});

test("counting", async () => {
  const { openai, neuron, sent } = await open();
  neuron.answer = (_, response) => json(response, 200, { input_tokens: 77 });
  expect(await openai.responses.inputTokens.count({ ...ask, instructions: "s" })).toMatchObject({
    ...{ object: "response.input_tokens", input_tokens: 77 },
  });
  expect(sent()).toEqual({
    model: "demo",
    messages: [
      { role: "system", content: "s" },
      { role: "user", content: "Hello" },
    ],
  });
});

test("an attempt at WebSocket is sent to HTTP at once", async () => {
  const { gateway } = await open();
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  let heard = "";
  socket.on("data", (bytes) => (heard += bytes));
  socket.write(
    "GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await until(() => heard.includes("upgrade_required"));
  expect(heard).toMatch(/^HTTP\/1\.1 426 /);
  expect(heard).toMatch(/\r\nupgrade: HTTP\/1.1\r\n/i);
  socket.destroy();
  expect((await fetch(gateway.url + path)).status).toBe(404);
});

test("keepalives are response.in_progress", async () => {
  const { gateway, neuron } = await open({ cortex: { gateway: { keepalive_s: 0.05 } } });
  neuron.answer = script(opening, 130, said("a"), 130, said("b"), ending());
  const frames = framesOf(await (await post(gateway, { ...ask, stream: true }, { path })).text());
  expect(frames.filter(({ event }) => event === "response.in_progress").length).toBeGreaterThan(3);
  expect(readResponse(frames).response.output[0].content[0].text).toBe("ab");
});

test("the SDK is content with a stream full of keepalives", async () => {
  const { openai, neuron } = await open({ cortex: { gateway: { keepalive_s: 0.05 } } });
  neuron.answer = script(
    opening,
    120,
    thought("t"),
    120,
    said("a"),
    120,
    called(0, "c", "ls"),
    120,
    ending("tool_calls"),
  );
  const response = await openai.responses.stream({ ...ask, tools }).finalResponse();
  expect(response.output.map(({ type }) => type)).toEqual(["reasoning", "message", "function_call"]);
});

test("an error within the stream stops the SDK", async () => {
  const { openai, neuron, gateway } = await open();
  for (const [steps, code] of [
    [[opening, said("Hel"), 20, "cut"], "upstream_interrupted"],
    [[opening, said("Hel")], "upstream_interrupted"],
    [
      [opening, `data: {"error":{"message":"lost","type":"server_error","code":"device_lost"}}\n\n`],
      "device_lost",
    ],
  ] as const) {
    neuron.answer = script(...steps);
    const error = await openai.responses
      .stream(ask)
      .finalResponse()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(APIError);
    expect((error as APIError).code).toBe(code);
    const { response } = readResponse(
      framesOf(await (await post(gateway, { ...ask, stream: true }, { path })).text()),
    );
    expect(response).toMatchObject({ status: "failed", error: { code: "server_error" } });
    expect((await fetch(`${gateway.url}${path}/${response.id}`)).status).toBe(404);
    const whole = await post(gateway, ask, { path });
    expect([whole.status >= 500, (await errorOf(whole)).code]).toEqual([true, code]);
  }
});

test.each<[string, Json, Json]>([
  ["background", { background: true }, { code: "unsupported_parameter", param: "background" }],
  ["a conversation", { conversation: "conv_1" }, { code: "unsupported_parameter", param: "conversation" }],
  [
    "a wrong item",
    { input: [{ role: "user", content: [{ type: "input_text" }] }] },
    { code: "invalid_request_body", param: "input.0.content.0.text" },
  ],
  ["no model", { model: undefined }, { code: "invalid_request_body", param: "model" }],
])("%s is refused in OpenAI's words", async (_, more, want) => {
  const { gateway, neuron } = await open();
  const response = await post(gateway, { ...ask, ...more }, { path });
  expect([response.status, response.headers.get("x-should-retry")]).toEqual([400, "false"]);
  expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", ...want });
  expect(neuron.requests).toHaveLength(0);
});

test("a neuron's refusal is a plain status, even for a stream", async () => {
  const { gateway, neuron } = await open();
  const error = {
    message: "This model's maximum context length is 8 tokens",
    type: "invalid_request_error",
    code: "context_length_exceeded",
    param: null,
  };
  neuron.answer = (_, response) => json(response, 400, { error });
  const response = await post(gateway, { ...ask, stream: true }, { path });
  expect([response.status, response.headers.get("x-should-retry"), await response.json()]).toEqual([
    400,
    "false",
    { error },
  ]);
});
