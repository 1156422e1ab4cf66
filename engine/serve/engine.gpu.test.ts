// The whole engine, thread and all, with the demo model: the text cases of the reference, and what goes wrong.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packageRoot } from "../root.ts";
import { openEngine } from "./engine.ts";
import type { ChatMessage, ChatRequest, Engine, Model, TextEvent, Tool } from "./types.ts";

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  tools: Tool[] | null;
  enable_thinking: boolean;
  prompt_ids: number[];
  output_ids: number[];
  reasoning: string | null;
  content: string | null;
  tool_calls: { name: string; arguments: Record<string, unknown> }[] | null;
  finish_reason: string;
}

const folder = join(packageRoot, "test-fixtures/demo-model");
const cases = (JSON.parse(readFileSync(join(folder, "golden/cases.json"), "utf8")) as { cases: DemoCase[] })
  .cases;
const textCases = cases.filter(({ messages }) => !JSON.stringify(messages).includes("image_url"));
const never = new AbortController().signal;

let engine: Engine;
let model: Model;

beforeAll(async () => {
  engine = await openEngine({ adapter: process.env["NEURON_TEST_ADAPTER"] });
  model = await engine.load(join(folder, "model"), { contextLength: 1024 });
});
afterAll(() => engine.close());

function requestOf(one: DemoCase): ChatRequest {
  return {
    messages: one.messages,
    ...(one.tools ? { tools: one.tools } : {}),
    templateArguments: { enable_thinking: one.enable_thinking },
    options: { temperature: 0, maxTokens: 400 },
  };
}

async function collect(events: AsyncIterable<TextEvent>): Promise<TextEvent[]> {
  const all: TextEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function textOf(events: readonly TextEvent[], type: "content" | "reasoning"): string {
  return events.map((event) => (event.type === type ? event.text : "")).join("");
}

test.each(textCases.map((one) => [one.id, one] as const))("demo %s", async (_, one) => {
  const events = await collect(model.chat(requestOf(one), never));
  expect(events[0]).toEqual({ type: "started", promptTokens: one.prompt_ids.length });
  expect(textOf(events, "content")).toBe(one.content ?? "");
  expect(textOf(events, "reasoning")).toBe(one.reasoning ?? "");
  const calls = events
    .filter((event) => event.type === "tool_call")
    .map(({ name, index }) => ({
      name,
      arguments: events.map((e) => (e.type === "tool_arguments" && e.index === index ? e.json : "")).join(""),
    }));
  const parsed = calls.map(({ name, arguments: json }) => ({ name, arguments: JSON.parse(json) as unknown }));
  expect(parsed).toEqual(one.tool_calls ?? []);
  const last = events.at(-1)!;
  expect(last).toMatchObject({ type: "finished", usage: { completionTokens: one.output_ids.length } });
  expect(last).toMatchObject({ reason: one.finish_reason });
});

test("requests at the same time give what each gives alone", async () => {
  const few = textCases.slice(0, 6);
  const together = await Promise.all(few.map((one) => collect(model.chat(requestOf(one), never))));
  expect(together.map((events) => textOf(events, "content"))).toEqual(few.map((one) => one.content ?? ""));
  expect(model.load).toEqual({ running: 0, waiting: 0 });
});

test("a raised signal ends the answer at the next token, and the next request is served", async () => {
  const abort = new AbortController();
  let tokens = 0;
  const run = async () => {
    const options = { temperature: 1, seed: 5, maxTokens: 900 };
    for await (const event of model.complete({ prompt: "Once upon", options }, abort.signal)) {
      if (event.type === "content" && (tokens += 1) === 3) abort.abort();
    }
  };
  await expect(run()).rejects.toMatchObject({ code: "cancelled" });
  expect(tokens).toBeLessThan(10);
  const events = await collect(model.chat(requestOf(textCases[0]!), never));
  expect(textOf(events, "content")).toBe(textCases[0]!.content);
});

test("a consumer that stops listening frees the seat", async () => {
  for await (const event of model.complete({ prompt: "Once upon", options: { maxTokens: 900 } }, never)) {
    if (event.type === "content") break;
  }
  expect(model.load).toEqual({ running: 0, waiting: 0 });
});

test("the same seed gives the same text, another seed another", async () => {
  const sampled = async (seed: number) => {
    const options = { temperature: 1.5, seed, maxTokens: 40 };
    return textOf(await collect(model.complete({ prompt: "Tell me a story.", options }, never)), "content");
  };
  expect(await sampled(11)).toBe(await sampled(11));
  expect(await sampled(11)).not.toBe(await sampled(12));
});

test("a prompt that is too long is refused with both figures", async () => {
  const request = { messages: [{ role: "user", content: "word ".repeat(2000) }], options: {} };
  const details = { max: 1024, promptTokens: expect.any(Number) as number };
  await expect(collect(model.chat(request, never))).rejects.toMatchObject({
    code: "context_length_exceeded",
    details,
  });
});

test("a token id outside the vocabulary is refused with its value", async () => {
  const events = collect(model.complete({ prompt: [1, 99_999], options: {} }, never));
  await expect(events).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringContaining("99999") as string,
  });
});

test("a model folder that is missing is told, and the engine lives on", async () => {
  await expect(engine.load("/nowhere/at/all", {})).rejects.toMatchObject({ code: "model_not_found" });
  expect(model.info.modelType).toBe("qwen3_5");
});

test("unloading a busy model refuses; forced, it ends the requests", async () => {
  const second = await engine.load(join(folder, "model"), { contextLength: 512 });
  const events = second.complete({ prompt: "Once upon", options: { temperature: 1, maxTokens: 400 } }, never);
  const iterator = events[Symbol.asyncIterator]();
  await iterator.next();
  await iterator.next();
  await expect(second.unload()).rejects.toMatchObject({ code: "model_busy" });
  const rest = (async () => {
    while (!(await iterator.next()).done);
  })();
  await Promise.all([
    second.unload({ force: true }),
    expect(rest).rejects.toMatchObject({ code: "cancelled" }),
  ]);
  await expect(collect(second.complete({ prompt: "a", options: {} }, never))).rejects.toMatchObject({
    code: "model_not_found",
  });
});
