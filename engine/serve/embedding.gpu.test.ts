// Embeddings of a checkpoint that sentence-transformers would pool by its last token, against the hidden states that the
// reference implementation left, pooled by the twin.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { loadGolden } from "../../test-fixtures/golden.ts";
import { expectClose } from "../../test-fixtures/gpu.ts";
import { headerLength, parseHeader, type Dtype } from "../formats/header.ts";
import { writeSafetensors } from "../formats/write.ts";
import { lastTokenEmbedding } from "../reference/embedding.ts";
import { packageRoot } from "../root.ts";
import { openEngine } from "./engine.ts";
import type { Engine, Model } from "./types.ts";

vi.setConfig({ testTimeout: 120_000 });

const source = join(packageRoot, "test-fixtures", "reference", "qwen3-tiny-tied");
const hidden = 128;
const never = new AbortController().signal;
const cases = ["text_9", "text_150"].map((name) => {
  const { inputs, tensors } = loadGolden(source, name);
  return { name, ids: inputs.input_ids, rows: tensors.get("hidden.final_norm")!.data as Float32Array };
});
let folder: string;
let engine: Engine;
let model: Model;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedding-"));
  await cp(source, folder, { recursive: true });
  const modules = [
    { idx: 0, name: "0", path: "", type: "sentence_transformers.models.Transformer" },
    { idx: 1, name: "1", path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
    { idx: 2, name: "2", path: "2_Normalize", type: "sentence_transformers.models.Normalize" },
  ];
  await writeFile(join(folder, "modules.json"), JSON.stringify(modules));
  await mkdir(join(folder, "1_Pooling"));
  const pooling = {
    word_embedding_dimension: hidden,
    pooling_mode_lasttoken: true,
    pooling_mode_cls_token: false,
  };
  await writeFile(join(folder, "1_Pooling", "config.json"), JSON.stringify(pooling));
  await withoutPrefix(join(source, "model.safetensors"), join(folder, "model.safetensors"));
  engine = await openEngine({ adapter: process.env["NEURON_TEST_ADAPTER"], maxQueue: 3 });
  model = await engine.load(folder, { contextLength: 256, maxInFlight: 2 });
}, 240_000);
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

/** As the released embedding checkpoints are saved: the decoder alone, whose names begin with `layers.`. */
async function withoutPrefix(from: string, to: string): Promise<void> {
  const bytes = await readFile(from);
  const length = headerLength(bytes.subarray(0, 8), from, bytes.length);
  const place = { file: from, dataStart: 8 + length, dataBytes: bytes.length - 8 - length };
  const { tensors } = parseHeader(bytes.subarray(8, 8 + length), place);
  const renamed = [...tensors].map(([name, { dtype, shape, offset, bytes: size }]) => ({
    ...{
      name: name.replace(/^model\./, ""),
      dtype: dtype as Dtype,
      shape,
      data: bytes.subarray(offset, offset + size),
    },
  }));
  expect(renamed.some(({ name }) => name === "embed_tokens.weight")).toBe(true);
  await rm(to);
  await writeSafetensors(to, renamed);
}

test("what the model says of itself", () => {
  expect(model.info).toMatchObject({
    embeddingWidth: hidden,
    capabilities: ["embeddings"],
    toolCalls: false,
  });
});

test.each(cases)("$name: as the reference has it", async ({ ids, rows }) => {
  const want = lastTokenEmbedding(rows, ids.length, hidden);
  const { vectors, promptTokens } = await model.embed({ inputs: [ids] }, never);
  expectClose(vectors[0]!, want, 2e-5);
  expect(promptTokens).toBe(ids.length);
  // Known bad: the row before the last, and a row that is not of unit length, do not pass.
  const before = lastTokenEmbedding(rows, ids.length - 1, hidden);
  const raw = rows.slice((ids.length - 1) * hidden, ids.length * hidden);
  for (const wrong of [before, raw]) expect(() => expectClose(vectors[0]!, wrong, 2e-5)).toThrow("error");
});

test("fewer dimensions are of unit length again", async () => {
  const [{ ids, rows }] = cases as [(typeof cases)[0]];
  const { vectors } = await model.embed({ inputs: [ids], dimensions: 37 }, never);
  expectClose(vectors[0]!, lastTokenEmbedding(rows, ids.length, hidden, 37), 2e-5);
  expect(vectors[0]!.length).toBe(37);
});

test("many at once are what each is alone, in their order, and nobody is counted afterwards", async () => {
  const inputs = [...cases, ...cases].map(({ ids }, i) => ids.slice(i));
  const together = await model.embed({ inputs: ["a text", ...inputs, "another"] }, never);
  expect(together.vectors.length).toBe(6);
  for (const [i, input] of inputs.entries()) {
    const alone = await model.embed({ inputs: [input] }, never);
    expect([...together.vectors[i + 1]!]).toEqual([...alone.vectors[0]!]);
  }
  expect(model.load).toEqual({ running: 0, waiting: 0 });
});

test("what cannot be embedded is named", async () => {
  const embed = (inputs: (string | number[])[], dimensions?: number) =>
    model.embed({ inputs, ...(dimensions === undefined ? {} : { dimensions }) }, never);
  await expect(embed([[1], []])).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringMatching(/^input\[1\]: is empty/) as string,
  });
  await expect(embed([[1, 99_999]])).rejects.toMatchObject({
    message: expect.stringMatching(/^input\[0\]\[1\]: 99999 is no token id/) as string,
  });
  await expect(embed([[1]], hidden + 1)).rejects.toMatchObject({
    message: "dimensions: expected 1 to 128, got 129",
  });
  await expect(embed([])).rejects.toMatchObject({ message: "input: expected 1 to 2048 inputs, got 0" });
  const long = Array.from({ length: 300 }, () => 5);
  await expect(embed([[1], long])).rejects.toMatchObject({
    code: "context_length_exceeded",
    details: { max: 256, promptTokens: 300 },
  });
  expect(model.load).toEqual({ running: 0, waiting: 0 });
});

test("it makes no text", async () => {
  const asked = { messages: [{ role: "user", content: "hi" }], options: {} };
  const answer = model.chat(asked, never)[Symbol.asyncIterator]().next();
  await expect(answer).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringMatching(/makes embeddings, not text/) as string,
  });
  const text = model.complete({ prompt: "hi", options: {} }, never)[Symbol.asyncIterator]().next();
  await expect(text).rejects.toMatchObject({ code: "bad_request" });
});

test("a model that makes text makes no embeddings", async () => {
  const other = await engine.load(source, { contextLength: 64, maxInFlight: 1 });
  await expect(other.embed({ inputs: ["hi"] }, never)).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringContaining("makes text, not embeddings") as string,
  });
  await other.unload();
});
