// The whole engine, threads and all, on GGUF files and on weights quantised at load.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { exportGguf } from "../formats/gguf/export.ts";
import { exportTower } from "../formats/gguf/exportTower.fixture.ts";
import { openEngine } from "./engine.ts";
import type { ChatMessage, Engine, LoadOptions, ModelInfo } from "./types.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 }); // a software adapter compiles for minutes on a busy machine

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  tools: null;
  enable_thinking: boolean;
  content: string;
  n_images: number;
}

const { cases } = JSON.parse(readFileSync(join(demoModel, "..", "golden", "cases.json"), "utf8")) as {
  cases: DemoCase[];
};
const plain = cases.filter(({ tools }) => tools === null);
const chats = plain.filter(({ n_images }) => n_images === 0).slice(0, 6);
const shown = plain.filter(({ n_images }) => n_images > 0).slice(0, 2);
const folder = mkdtempSync(join(tmpdir(), "gguf-engine-"));
let engine: Engine;

beforeAll(async () => {
  const json = (name: string) =>
    JSON.parse(readFileSync(join(demoModel, name), "utf8")) as Record<string, unknown>;
  const text = {
    tokenizer: json("tokenizer.json"),
    tokenizerConfig: json("tokenizer_config.json"),
    chatTemplate: readFileSync(join(demoModel, "chat_template.jinja"), "utf8"),
  };
  const checkpoint = await openCheckpoint(demoModel);
  await exportGguf(checkpoint, join(folder, "demo-Q8_0.gguf"), { ...text, dtype: "Q8_0" });
  await exportGguf(checkpoint, join(folder, "demo-F16.gguf"), { ...text, dtype: "F16" });
  await exportTower(checkpoint, join(folder, "mmproj-F32.gguf"), json("preprocessor_config.json"));
  await checkpoint.close();
  engine = await openEngine({ adapter: process.env["NEURON_TEST_ADAPTER"] });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true });
});

/** Answers of a model, and what it is. */
async function answers(
  path: string,
  options: LoadOptions,
  asked = chats,
): Promise<{ info: ModelInfo; texts: string[] }> {
  const model = await engine.load(path, { contextLength: 512, ...options });
  const texts: string[] = [];
  for (const { messages, enable_thinking } of asked) {
    const templateArguments = { enable_thinking };
    const request = { messages, templateArguments, options: { temperature: 0, maxTokens: 200 } };
    let text = "";
    for await (const event of model.chat(request, new AbortController().signal)) {
      if (event.type === "content") text += event.text;
    }
    texts.push(text);
  }
  await model.unload();
  return { info: model.info, texts };
}

const wanted = chats.map(({ content }) => content);

test("a GGUF file, chosen in its folder, answers as the checkpoint does", async () => {
  const { info, texts } = await answers(folder, { quant: "q8_0" });
  expect(texts).toEqual(wanted);
  expect(info).toMatchObject({
    modelType: "qwen3_5",
    format: "gguf",
    quant: "q8_0",
    capabilities: ["text", "vision"],
    reasoning: true,
    toolCalls: true,
  });
  const byName = await answers(join(folder, "demo-F16.gguf"), {});
  expect(byName.texts).toEqual(wanted);
  expect(info.weightBytes).toBeLessThan(0.75 * byName.info.weightBytes); // the tower is f32 in both;
});

test("a GGUF file sees pictures by the tower beside it", async () => {
  const { texts } = await answers(folder, { quant: "q8_0" }, shown);
  expect(texts).toEqual(shown.map(({ content }) => content));
});

test("weights quantised at load", async () => {
  const plain = await answers(demoModel, {});
  const { info, texts } = await answers(demoModel, { quant: "q4_k" });
  expect(texts).toEqual(wanted);
  expect(info.weightBytes).toBeLessThan(0.55 * plain.info.weightBytes);
  expect(info.parameters).toBe(plain.info.parameters);
  expect([plain.info, info].map(({ format, quant }) => [format, quant])).toEqual([
    ["safetensors", "bf16"],
    ["safetensors", "q5_0"], // rows of 192 are no whole blocks of 256
  ]);
});

test.each<[string, () => [string, LoadOptions], string, string]>([
  ["an open choice", () => [folder, {}], "bad_request", "has several GGUF files; name one of f16, q8_0"],
  ["another file", () => [folder, { quant: "q2_k" }], "bad_request", "no GGUF file of the one kind q2_k"],
  [
    "no type of ours",
    () => [demoModel, { quant: "int4" }],
    "bad_request",
    "int4 is not what it has; one of q4_0,",
  ],
  [
    "blocks of other blocks",
    () => [join(folder, "demo-Q8_0.gguf"), { quant: "q4_k" }],
    "bad_request",
    "q4_k cannot be made of it",
  ],
])("%s is refused", async (_, make, code, message) => {
  const error: unknown = await engine.load(...make()).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code });
  expect((error as Error).message).toContain(message);
});
