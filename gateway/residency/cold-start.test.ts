// What a client sees of a cold load, dialect by dialect: headers early, something to hear all the time, and the answer.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { chat, errorOf, openGateway, post, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper, poll } from "../fixtures/lifecycle.fixture.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";

const beat = { keepalive_s: 0.05 };

async function open() {
  const a = await openKeeper(100);
  let go = () => {};
  a.gate = new Promise<void>((resolve) => (go = resolve));
  a.neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("Hello") + finish + usageChunk(11, 2, 0) + done);
  };
  const models = { models: [{ id: "demo" }] };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models, cortex: { poll, gateway: beat } });
  return { a, gateway, go };
}

const messages = [{ role: "user", content: "Hello" }];
const anthropic = { model: "demo", max_tokens: 9, messages, stream: true };
const dialects: [string, object, { alive: RegExp; said: RegExp; failed: RegExp }][] = [
  [
    "/v1/chat/completions",
    { ...chat, stream: true },
    { alive: /"delta":\{"content":""\}/, said: /"content":"Hello"/, failed: /^data: \{"error":\{/m },
  ],
  [
    "/v1/completions",
    { model: "demo", prompt: "x", stream: true },
    {
      alive: /"object":"text_completion".*"text":""/,
      said: /"content":"Hello"/,
      failed: /^data: \{"error":\{/m,
    },
  ],
  [
    "/v1/responses",
    { model: "demo", input: "Hello", stream: true },
    { alive: /event: response\.in_progress/, said: /"delta":"Hello"/, failed: /event: response\.failed/ },
  ],
  ["/v1/messages", anthropic, { alive: /event: ping/, said: /"text":"Hello"/, failed: /event: error/ }],
];

/** Reads until the text matches, or the stream ends. */
function reader(response: Response) {
  const source = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return async (pattern?: RegExp): Promise<string> => {
    while (!pattern?.test(text)) {
      const { value, done: over } = await source.read();
      if (over) break;
      text += decoder.decode(value, { stream: true });
    }
    return text;
  };
}

test.each(dialects)(
  "%s: opened early, kept alive in its own words, then answered",
  async (path, body, words) => {
    const { gateway, a, go } = await open();
    const response = await post(gateway, body, { path });
    expect([response.status, a.neuron.requests.length]).toEqual([200, 0]);
    const read = reader(response);
    await read(/: loading demo, 43 %\n\n/);
    const before = (await read(words.alive)).match(new RegExp(words.alive, "g"))!.length;
    await read(new RegExp(`(${words.alive.source}[^]*){${before + 2}}`));
    go();
    const text = await read();
    expect(text).toMatch(words.said);
    expect(text).not.toMatch(words.failed);
    expect(text.lastIndexOf(": loading")).toBeLessThan(text.search(words.said));
  },
);

test.each(dialects)(
  "%s: a load that fails is an error within the stream, and no finish",
  async (path, body, words) => {
    const { gateway, a, go } = await open();
    a.refusals.set("demo", { status: 422, code: "unsupported_model" });
    const response = await post(gateway, body, { path });
    const read = reader(response);
    await read(words.alive);
    go();
    const text = await read();
    expect(text).toMatch(words.failed);
    expect(text).toMatch(/its architecture is not supported/);
    expect(text).not.toMatch(/\[DONE\]|message_stop|response\.completed|finish_reason":"/);
    await until(() =>
      gateway.logs.some(({ event, error }) => event === "request" && error === "model_load_failed"),
    );
  },
);

test.each(dialects)("%s: what can be refused before the load is a plain refusal", async (path, body) => {
  const { gateway, a } = await open();
  const unknown = await post(gateway, { ...body, model: "nobody" }, { path });
  expect([unknown.status, unknown.headers.get("content-type")]).toEqual([
    404,
    "application/json; charset=utf-8",
  ]);
  expect(a.told).toEqual([]);
});

test("the SDKs read a cold start as if there had been none", async () => {
  const { gateway, go } = await open();
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "x", maxRetries: 0 });
  const claude = new Anthropic({ baseURL: gateway.url, apiKey: "x", maxRetries: 0 });
  const ask = { model: "demo", messages: [{ role: "user" as const, content: "Hello" }] };
  const answers = [
    openai.chat.completions.stream(ask).finalChatCompletion(),
    openai.responses.stream({ model: "demo", input: "Hello" }).finalResponse(),
    claude.messages.stream({ ...ask, max_tokens: 9 }).finalText(),
  ] as const;
  await until(() => gateway.gateway.residency.loads.waiting === 3);
  await new Promise((resolve) => setTimeout(resolve, 200));
  go();
  const [completion, response, text] = await Promise.all(answers);
  expect([completion.choices[0]!.message.content, response.output_text, text]).toEqual(
    Array(3).fill("Hello"),
  );
});

test("who does not stream waits, and is answered whole", async () => {
  const { gateway, a, go } = await open();
  a.neuron.answer = (_, response) => json(response, 200, { choices: [{ message: { content: "whole" } }] });
  const response = post(gateway, chat);
  await until(() => gateway.gateway.residency.loads.waiting === 1);
  go();
  expect(await (await response).json()).toEqual({ choices: [{ message: { content: "whole" } }] });
});

test("a neuron that answers an open stream with no stream is told as its failure", async () => {
  const { gateway, a, go } = await open();
  a.neuron.answer = (_, response) => json(response, 200, { choices: [{ message: { content: "whole" } }] });
  const response = await post(gateway, { ...chat, stream: true });
  go();
  const text = await response.text();
  expect(text).toMatch(/"code":"upstream_failed"/);
  expect(text).not.toMatch(/whole|\[DONE\]/);
});

test("a gateway that goes down ends those who wait, each in its dialect", async () => {
  const { gateway } = await open();
  const stream = await post(gateway, { ...chat, stream: true });
  const whole = post(gateway, chat);
  await until(() => gateway.gateway.residency.loads.waiting === 2);
  await gateway.stop();
  expect(await stream.text()).toMatch(/"code":"shutting_down"/);
  expect((await errorOf(await whole)).code).toBe("shutting_down");
});

test("one who hangs up in an open stream is no longer waited for", async () => {
  const { gateway } = await open();
  const hangUp = new AbortController();
  await post(gateway, { ...chat, stream: true }, { signal: hangUp.signal });
  expect(gateway.gateway.residency.loads.waiting).toBe(1);
  hangUp.abort();
  await until(() => gateway.gateway.residency.loads.waiting === 0);
  await until(() => gateway.gateway.running.size === 0);
});
