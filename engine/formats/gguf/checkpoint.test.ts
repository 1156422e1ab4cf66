// A checkpoint written as GGUF and opened again is the same checkpoint. That what is written is what llama.cpp means by
// these names and orders was seen once for each family: v0.5.0 (npm's node-llama-cpp 3.22.1), given the files whose
// hashes stand here, went on after the first case's prompt with the golden's 32 tokens.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoModel } from "../../../test-fixtures/golden.ts";
import { parseConfig } from "../../models/config.ts";
import { inverseFrequencies } from "../../models/rope.ts";
import { packageRoot } from "../../root.ts";
import { dequantise } from "../blocks/dequantise.ts";
import { openCheckpoint, type Checkpoint } from "../checkpoint.ts";
import { quantise } from "../quantise/quantise.ts";
import { inHalves, inPairs } from "../rows.ts";
import { exportGguf, type ExportOptions } from "./export.ts";
import { writeGguf, type GgufTensorSource, type TypedValue } from "./write.ts";

const scratch = mkdtempSync(join(tmpdir(), "gguf-checkpoint-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const own = join(packageRoot, "test-fixtures", "reference");
const json = (...path: string[]) =>
  JSON.parse(readFileSync(join(...path), "utf8")) as Record<string, unknown>;

let count = 0;
async function exported(folder: string, options: ExportOptions = {}): Promise<string> {
  const path = join(scratch, `${count++}.gguf`);
  const checkpoint = await openCheckpoint(folder);
  await exportGguf(checkpoint, path, {
    tokenizer: json(folder, "tokenizer.json"),
    tokenizerConfig: json(folder, "tokenizer_config.json"),
    chatTemplate: readFileSync(join(folder, "chat_template.jinja"), "utf8"),
    ...options,
  });
  await checkpoint.close();
  return path;
}

const families = [
  { folder: join(own, "llama3-tiny-ropescaled"), hash: "e0e3cba081e4941d" },
  { folder: join(own, "qwen2-tiny-sharded"), hash: "54b1f0d7adde4837" },
  { folder: join(own, "qwen3-tiny-tied"), hash: "592894bad33b6102" },
  { folder: join(own, "qwen3_5-tiny-text"), hash: "bd80c92b331fe3f5" },
  { folder: demoModel, hash: "cb8a3529e5260a90" },
].map((family) => ({ ...family, name: basename(family.folder) }));

/** The names that a language model's tensors have, without what precedes them. */
function plainName(name: string): string {
  return name.replace("model.language_model.", "model.");
}

/** The heads of a delta net in the order that GGUF has them, along an axis of whole heads. */
function tiled(order: number[], heads: { key: number; value: number }, unit: number, skip = 0): number[] {
  const run = heads.value / heads.key;
  const from = (h: number) => (h % heads.key) * run + Math.floor(h / heads.key);
  return order.map((_, i) => {
    if (i < skip) return i;
    const h = Math.floor((i - skip) / unit);
    return skip + from(h) * unit + ((i - skip) % unit);
  });
}

describe.each(families)("$name", ({ folder, hash }) => {
  let original: Checkpoint;
  let ours: Checkpoint;
  let path: string;
  beforeAll(async () => {
    path = await exported(folder, { dtype: "F32" });
    original = await openCheckpoint(folder);
    ours = await openCheckpoint(path);
  });
  afterAll(async () => {
    await original.close();
    await ours.close();
  });

  test("the file is the one that llama.cpp was given", () => {
    expect(createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16)).toBe(hash);
  });

  test("its settings are those of config.json", () => {
    const want = parseConfig(original.config, original.configFile);
    const got = parseConfig(ours.config, path);
    const { rope, eosIds, delta } = got;
    expect(got).toEqual({
      ...want,
      prefix: "model.",
      vision: undefined,
      imageToken: undefined,
      rope,
      eosIds,
      bosId: got.bosId, // the tokenizer's; config.json may name one that its tokenizer does not have
      delta: want.delta && { ...want.delta, order: "tiled" },
    });
    expect(delta?.order).toBe(want.delta ? "tiled" : undefined);
    expect(eosIds).toEqual(expect.arrayContaining([...want.eosIds]));
    expect({ ...rope, scaling: undefined }).toEqual({ ...want.rope, scaling: undefined });
    const frequencies = inverseFrequencies(want);
    for (const [i, frequency] of inverseFrequencies(got).entries()) {
      expect(Math.abs(frequency / frequencies[i]! - 1)).toBeLessThan(1e-6);
    }
  });

  test("every tensor of the language model has its values", async () => {
    const config = parseConfig(original.config, original.configFile);
    const names = original.names.filter((name) => !/visual|mtp/.test(name));
    expect([...ours.names].sort()).toEqual(names.map(plainName).sort());
    for (const name of names) {
      const want = await original.readF32(name);
      const got = await ours.readF32(plainName(name));
      const { shape } = ours.expectTensor(plainName(name), original.entry(name).shape);
      const order = orderOf(plainName(name), shape, config);
      for (let i = 0; i < want.length; i++) {
        const off = Math.abs(got[i]! - want[order(i)]!);
        if (off > 2e-7 * (1 + Math.abs(want[order(i)]!)))
          throw new Error(`${name} ${i}: ${got[i]} ${want[order(i)]}`);
      }
    }
  });

  test("streamed rows are those that are read whole", async () => {
    const name = "model.layers.0.mlp.gate_proj.weight";
    const rows: Buffer[] = [];
    await ours.stream(
      name,
      { rows: [3, 60], chunkBytes: 5000 },
      (chunk) => void rows.push(Buffer.from(chunk)),
    );
    const { shape } = ours.entry(name);
    const whole = await ours.readF32(name);
    const streamed = new Float32Array(Uint8Array.from(Buffer.concat(rows)).buffer);
    expect(streamed).toEqual(whole.slice(3 * shape[1]!, 60 * shape[1]!));
  });

  /** Where element i of a tensor lies in the original. */
  function orderOf(name: string, shape: readonly number[], config: ReturnType<typeof parseConfig>) {
    const { delta } = config;
    const part = /linear_attn\.(.*)/.exec(name)?.[1];
    if (!part || part === "norm.weight" || !delta) return (i: number) => i;
    const heads = { key: delta.keyHeads, value: delta.valueHeads };
    const axis = part === "out_proj.weight" ? 1 : 0;
    const tail = /qkv|conv1d/.test(part) ? 2 * delta.keyHeads * delta.keyDim : 0;
    const size = shape[axis]!;
    const map = tiled(Array.from({ length: size }), heads, (size - tail) / heads.value, tail);
    const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
    return (i: number) => {
      const at = Math.floor(i / inner) % size;
      return i + (map[at]! - at) * inner;
    };
  }
});

describe("rows of heads as pairs", () => {
  const D = 6;
  const rows = Uint8Array.from({ length: 2 * D * 3 }, (_, i) => i); // two heads, rows of 3 bytes

  test("there and back", () => {
    const pairs = inPairs(rows, 3, D);
    expect([...pairs.subarray(0, 18)].filter((_, i) => i % 3 === 0).map((byte) => byte / 3)).toEqual([
      0, 3, 1, 4, 2, 5,
    ]);
    expect(inHalves(pairs, 3, D)).toEqual(rows);
  });

  test("streamed in chunks of whole heads, blocks or not", async () => {
    const folder = families[0]!.folder;
    const plain = await openCheckpoint(folder);
    const name = "model.layers.1.self_attn.q_proj.weight";
    const want = await plain.readF32(name);
    await plain.close();
    for (const dtype of ["F32", "Q8_0"] as const) {
      const checkpoint = await openCheckpoint(await exported(folder, { dtype }));
      const { bytes, shape } = checkpoint.entry(name);
      const chunks: { row: number; bytes: Buffer }[] = [];
      const chunkBytes = (bytes / shape[0]!) * 100; // one head of 64 and a part of the next
      await checkpoint.stream(name, { chunkBytes }, (chunk, row) => {
        chunks.push({ row, bytes: Buffer.from(chunk) });
      });
      expect(chunks.map(({ row }) => row)).toEqual([0, 64, 128, 192]);
      const all = Uint8Array.from(Buffer.concat(chunks.map((chunk) => chunk.bytes)));
      if (dtype === "F32") expect(new Float32Array(all.buffer)).toEqual(want);
      else expect(Buffer.from(all).equals(quantise("Q8_0", shape[1]!, want))).toBe(true);
      const half = checkpoint.stream(name, { rows: [0, 32] }, () => undefined);
      await expect(half).rejects.toThrow("are not whole heads of 64");
      const little = checkpoint.stream(name, { chunkBytes: 64 * 64 }, () => undefined);
      await expect(little).rejects.toThrow("heads of 64 rows");
      await checkpoint.close();
    }
  });
});

test("matrices in blocks, what is no matrix and what has no whole blocks not", async () => {
  const checkpoint = await openCheckpoint(await exported(join(own, "qwen3_5-tiny-text"), { dtype: "Q4_K" }));
  const dtypes = (name: string) => checkpoint.entry(`model.layers.0.${name}`).dtype;
  expect(dtypes("linear_attn.out_proj.weight")).toBe("Q4_K"); // rows of 512
  expect(dtypes("mlp.gate_proj.weight")).toBe("F16"); // rows of 64
  expect(dtypes("linear_attn.conv1d.weight")).toBe("F32");
  expect(dtypes("input_layernorm.weight")).toBe("F32");
  const name = "model.layers.0.linear_attn.out_proj.weight";
  const values = await checkpoint.readF32(name);
  expect(values).toEqual(dequantise("Q4_K", await checkpoint.read(name)));
  await checkpoint.close();
});

test("a mixture of experts is not written", async () => {
  const attempt = exported(join(own, "qwen3_5_moe-tiny"));
  await expect(attempt).rejects.toMatchObject({ code: "unsupported_model" });
  await expect(attempt).rejects.toThrow("qwen3_5_moe_text has no GGUF form here");
});

describe("files that say something else", () => {
  const tensors: GgufTensorSource[] = [
    { name: "token_embd.weight", dtype: "F32", shape: [6, 4], data: new Float32Array(24) },
    { name: "blk.0.attn_q.weight", dtype: "F32", shape: [4, 4], data: new Float32Array(16) },
  ];
  const settings: Record<string, TypedValue> = {
    "general.architecture": ["string", "llama"],
    "llama.block_count": ["u32", 1],
    "llama.embedding_length": ["u32", 4],
    "llama.attention.head_count": ["u32", 2],
    "llama.feed_forward_length": ["u32", 8],
    "llama.context_length": ["u32", 16],
    "llama.attention.layer_norm_rms_epsilon": ["f32", 1e-5],
  };
  const opened = async (change: Record<string, TypedValue>, more: GgufTensorSource[] = []) => {
    const path = join(scratch, `${count++}.gguf`);
    await writeGguf(path, { ...settings, ...change }, [...tensors, ...more]);
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    return parseConfig(checkpoint.config, path);
  };

  test("the plain one", async () => {
    expect(await opened({})).toMatchObject({
      modelType: "llama",
      headDim: 2,
      kvHeads: 2,
      vocab: 6,
      tied: true,
      eps: 1e-5,
    });
  });

  test("blocks of multi-token prediction are no layers", async () => {
    const more = { "llama.block_count": ["u32", 3], "llama.nextn_predict_layers": ["u32", 2] } as const;
    expect((await opened(more)).layers).toBe(1);
  });

  test("a value for each layer, all the same", async () => {
    expect(await opened({ "llama.feed_forward_length": ["u32[]", [12, 12]] })).toMatchObject({
      intermediate: 12,
    });
  });

  test("a head of its own, biases, linear scaling", async () => {
    const bias = (name: string) => ({
      name: `blk.0.${name}.bias`,
      dtype: "F32",
      shape: [4],
      data: new Float32Array(4),
    });
    const head = { ...tensors[0]!, name: "output.weight" };
    const scaling: Record<string, TypedValue> = {
      "llama.rope.scaling.type": ["string", "linear"],
      "llama.rope.scaling.factor": ["f32", 2.5],
    };
    expect(await opened(scaling, [bias("attn_q"), bias("attn_output"), head])).toMatchObject({
      tied: false,
      attention: { bias: { qkv: true, o: true } },
      rope: { scaling: { type: "linear", factor: 2.5 } },
    });
  });

  const rope = (factors: number[], dtype = "F32"): GgufTensorSource => {
    const data = dtype === "F32" ? Float32Array.from(factors) : new Uint16Array(factors.length);
    return { name: "rope_freqs.weight", dtype, shape: [factors.length], data };
  };
  test.each<[string, () => Promise<unknown>, string, string]>([
    [
      "an architecture that we do not have",
      () => opened({ "general.architecture": ["string", "gemma3"] }),
      "unsupported_model",
      'metadata general.architecture is "gemma3"; supported: llama, qwen2, qwen3, qwen3moe, qwen35, qwen35moe',
    ],
    [
      "a missing size",
      () => opened({ "llama.embedding_length": ["string", "4"] }),
      "bad_checkpoint",
      "metadata llama.embedding_length is 4: a number is expected",
    ],
    [
      "layers of different widths",
      () => opened({ "llama.feed_forward_length": ["u32[]", [12, 13]] }),
      "unsupported_model",
      "metadata llama.feed_forward_length differs from layer to layer",
    ],
    [
      "keys and values of different widths",
      () => opened({ "llama.attention.key_length": ["u32", 4], "llama.attention.value_length": ["u32", 2] }),
      "unsupported_model",
      "metadata llama.attention.value_length is 2, and key_length 4",
    ],
    [
      "yarn",
      () => opened({ "llama.rope.scaling.type": ["string", "yarn"] }),
      "unsupported_model",
      'rope_type is "yarn"; supported: default, linear, llama3',
    ],
    [
      "half of the biases",
      () => opened({}, [{ name: "blk.0.attn_q.bias", dtype: "F32", shape: [4], data: new Float32Array(4) }]),
      "unsupported_model",
      "has attn_q.bias, but no attn_output.bias",
    ],
    [
      "a window",
      () => opened({ "llama.attention.sliding_window": ["u32", 8] }),
      "unsupported_model",
      "sliding_window is 8",
    ],
    [
      "factors too few",
      () => opened({}, [rope([1, 2])]),
      "bad_checkpoint",
      "factors has 2 values for 1 frequencies",
    ],
    [
      "factors in f16",
      () => opened({}, [rope([1], "F16")]),
      "bad_checkpoint",
      "rope_freqs.weight is F16: F32 is expected",
    ],
    [
      "more layers than there are tensors for",
      () => opened({ "llama.block_count": ["u32", 2 ** 32 - 1] }),
      "bad_checkpoint",
      "metadata llama.block_count is 4294967295: 1, as the tensors have it, is expected",
    ],
    [
      "fewer layers than there are tensors for",
      () => opened({}, [{ ...tensors[0]!, name: "blk.11.attn_norm.weight" }]),
      "bad_checkpoint",
      "metadata llama.block_count is 1: 12, as the tensors have it, is expected",
    ],
    [
      "no embedding",
      () => opened({ "llama.context_length": ["u32", 0] }),
      "bad_checkpoint",
      "max_position_embeddings",
    ],
  ])("%s", async (_, attempt, code, message) => {
    const error: unknown = await attempt().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect((error as Error).message).toContain(message);
  });

  test("a tensor of a type that we cannot compute with is refused when it is asked for", async () => {
    const path = join(scratch, `${count++}.gguf`);
    const odd = { name: "output.weight", dtype: "IQ4_NL", shape: [6, 32], data: new Uint8Array(6 * 18) };
    await writeGguf(path, settings, [...tensors, odd]);
    const checkpoint = await openCheckpoint(path);
    const attempt = () => checkpoint.entry("lm_head.weight");
    expect(attempt).toThrow("tensor lm_head.weight has the unknown dtype IQ4_NL");
    expect(() => checkpoint.expectTensor("model.embed_tokens.weight", [6, 5])).toThrow(
      "has shape [6, 4], its metadata calls for [6, 5]",
    );
    await checkpoint.close();
  });
});
