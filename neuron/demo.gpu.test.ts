// The whole way on a real device: the demo model's golden answers, made by another implementation, through HTTP,
// from `neuron` started as a user starts it.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packageRoot } from "../engine/root.ts";
import { events, json, post } from "./daemon.fixture.ts";
import type { Json } from "./daemon.fixture.ts";

interface Case {
  id: string;
  messages: unknown[];
  tools: unknown[] | null;
  enable_thinking: boolean;
  prompt_ids: number[];
  output_ids: number[];
  reasoning: string | null;
  content: string;
  tool_calls: { name: string; arguments: unknown }[];
  finish_reason: string;
}

const golden = JSON.parse(
  readFileSync(join(packageRoot, "test-fixtures", "demo-model", "golden", "cases.json"), "utf8"),
) as { cases: Case[] };
// One long story is enough: on a CPU a token takes its time.
const stories = ["story-2", "story-3"];
const cases = golden.cases.filter(({ id }) => !stories.includes(id));

let daemon: ChildProcess;
let url: string;
let log = "";

beforeAll(async () => {
  const hook = join(packageRoot, "test-fixtures", "typescript.mjs");
  const main = join(packageRoot, "neuron", "main.ts");
  const args = ["--model", "demo", "--port", "0", "--adapter", process.env["NEURON_TEST_ADAPTER"]!];
  daemon = spawn(process.execPath, ["--import", hook, main, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  url = await new Promise<string>((resolve, reject) => {
    daemon.stderr!.on("data", (data) => {
      log += String(data);
      const ready = /^ready: (http:\S+)\/v1 serves demo on /m.exec(log);
      if (ready) resolve(ready[1]!);
    });
    daemon.once("close", (code) => reject(new Error(`it ended with ${code}: ${log}`)));
  });
}, 240_000);

afterAll(async () => {
  const code = new Promise((resolve) => daemon.once("close", resolve));
  daemon.kill("SIGTERM");
  expect(await code).toBe(0);
});

const ask = (body: object, signal?: AbortSignal) =>
  post(`${url}/v1/chat/completions`, { model: "demo", temperature: 0, ...body }, signal);

test.each(cases.map((one) => [one.id, one] as const))("%s", async (_, one) => {
  const body = {
    messages: one.messages,
    ...(one.tools ? { tools: one.tools } : {}),
    chat_template_kwargs: { enable_thinking: one.enable_thinking },
    max_tokens: 200,
  };
  const { choices, usage } = await json(ask(body));
  const { message, finish_reason } = choices[0];
  expect(message.content ?? "").toBe(one.content);
  expect(message.reasoning_content?.trim() ?? null).toBe(one.reasoning);
  const calls = (message.tool_calls ?? []).map((call: Json) => ({
    name: call.function.name,
    arguments: JSON.parse(call.function.arguments),
  }));
  expect(calls).toEqual(one.tool_calls);
  expect(finish_reason).toBe(one.finish_reason);
  expect([usage.prompt_tokens, usage.completion_tokens]).toEqual([
    one.prompt_ids.length,
    one.output_ids.length,
  ]);
});

test("the second turn about a picture finds it embedded, and says so", async () => {
  const { messages, content } = cases.find(({ id }) => id === "image-10")!;
  const turn = {
    messages: [...messages, { role: "assistant", content }, { role: "user", content: "Thanks." }],
  };
  const { usage, timings } = await json(ask({ ...turn, max_tokens: 1 }));
  expect(usage.prompt_tokens_details.image_tokens).toBeGreaterThan(0);
  expect(timings).toMatchObject({ images: 1, images_cached: 1 });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/neuron_images_total{model="demo",outcome="cached"} [1-9]/);
  expect(metrics).toMatch(/neuron_images_total{model="demo",outcome="encoded"} [1-9]/);
});

test("a picture that is none is told by its path", async () => {
  const content = [{ type: "image_url", image_url: { url: "data:image/png;base64,R0lGODlh" } }];
  const answer = await ask({ messages: [{ role: "user", content }] });
  const { error } = await json(answer);
  expect([answer.status, error.param]).toEqual([400, "messages.0.content.0"]);
  expect(error.message).toContain("the GIF file cannot be decoded");
});

test("a stream says the same, piece by piece", async () => {
  const one = cases.find(({ id }) => id === "talk-2")!;
  const all = events(await (await ask({ messages: one.messages, stream: true })).text());
  const pieces = all.slice(0, -1).map((chunk) => chunk.choices[0].delta.content ?? "");
  expect(pieces.join("")).toBe(one.content);
  expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(10);
  expect(all.at(-1)).toBe("[DONE]");
});

test("the prompt's token ids continue as its text does", async () => {
  const one = cases.find(({ id }) => id === "capital-1")!;
  const answer = await post(`${url}/v1/completions`, {
    model: "demo",
    prompt: one.prompt_ids,
    temperature: 0,
  });
  expect((await json(answer)).choices[0].text).toBe(one.content);
});

test.each([9, 24])("an answer that has begun with %i characters ends as it would have", async (length) => {
  const { messages, content } = cases.find(({ id }) => id === "capital-1")!;
  const begun = { role: "assistant", content: content.slice(0, length) };
  const going = { continue_final_message: true, add_generation_prompt: false };
  const { choices } = await json(ask({ messages: [...messages, begun], ...going }));
  expect(begun.content + choices[0].message.content).toBe(content);
  const over = await json(ask({ messages: [...messages, begun] }));
  expect(over.choices[0].message.content).not.toBe(choices[0].message.content);
});

test("hanging up frees the device for the next request", async () => {
  const story = golden.cases.find(({ id }) => id === stories[0])!;
  const hangUp = new AbortController();
  const answer = await ask({ messages: story.messages, stream: true }, hangUp.signal);
  const reader = answer.body!.getReader();
  await reader.read();
  hangUp.abort();
  await expect(reader.read()).rejects.toThrow();
  const since = performance.now();
  let busy = 1;
  while (busy > 0 && performance.now() - since < 10_000)
    busy = (await json(fetch(`${url}/health`))).models[0].in_flight;
  expect(busy).toBe(0);
  const short = cases.find(({ id }) => id === "system-4")!;
  expect((await json(ask({ messages: short.messages }))).choices[0].message.content).toBe(short.content);
});

test("a prompt too long says both figures", async () => {
  const long = "one two three four five six seven eight ".repeat(400);
  const answer = await ask({ messages: [{ role: "user", content: long }], stream: true });
  const { error } = await json(answer);
  expect([answer.status, error.code]).toEqual([400, "context_length_exceeded"]);
  expect(error.message).toMatch(/maximum context length is \d+ tokens, but the prompt has \d{4,} tokens/);
});
