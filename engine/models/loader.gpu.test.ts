// What a loader makes of a checkpoint's matrices, read back from the device.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { noise } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { shardBytes } from "../../test-fixtures/tiles.ts";
import { dequantise } from "../formats/blocks/dequantise.ts";
import type { BlockType } from "../formats/blocks/format.ts";
import { dequantisePlanes } from "../formats/blocks/planes.ts";
import { openCheckpoint, type Checkpoint, type WeightDtype } from "../formats/checkpoint.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../formats/halves.ts";
import { writeGguf } from "../formats/gguf/write.ts";
import { convert } from "../formats/quantise/convert.ts";
import { serialConverter, type Converter } from "../formats/quantise/pool.ts";
import { quantise } from "../formats/quantise/quantise.ts";
import { isBlockFormat, weightRowBytes, type Weight, type WeightFormat } from "../gpu/tensor.ts";
import { Loader, tensorsAtOnce } from "./loader.ts";

const gpu = await testGpu();
const folder = mkdtempSync(join(tmpdir(), "loader-"));
afterAll(() => rmSync(folder, { recursive: true }));

const open: (Checkpoint | Loader)[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await ("dispose" in one ? one.dispose() : one.close());
});

const K = 512;
interface Matrix {
  gguf: string;
  dtype: WeightDtype;
  rows: number;
}

function stored(dtype: WeightDtype, values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(values.buffer);
  if (dtype === "F16") return new Uint8Array(f32ToF16(values).buffer);
  if (dtype === "BF16") return new Uint8Array(f32ToBf16(values).buffer);
  return quantise(dtype, K, values);
}

function meant(dtype: WeightDtype, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype === "F16") return f16ToF32(new Uint16Array(bytes.buffer));
  if (dtype === "BF16") return bf16ToF32(new Uint16Array(bytes.buffer));
  return dequantise(dtype, bytes);
}

let count = 0;
/** A qwen3 file of one layer with these matrices, and what each of them means. */
async function file(matrices: readonly Matrix[], change: (values: Float32Array) => void = () => undefined) {
  const path = join(folder, `${count++}.gguf`);
  const values = new Map<string, Float32Array>();
  const tensors = matrices.map(({ gguf, dtype, rows }, i) => {
    const own = noise(rows * K, 10 + i);
    change(own);
    const data = stored(dtype, own);
    values.set(gguf, meant(dtype, data));
    return { name: `blk.0.${gguf}.weight`, dtype, shape: [rows, K], data };
  });
  await writeGguf(
    path,
    {
      "general.architecture": ["string", "qwen3"],
      "qwen3.block_count": ["u32", 1],
      "qwen3.attention.key_length": ["u32", 8],
    },
    tensors,
  );
  return { path, values };
}

async function loaderOf(
  path: string,
  quant?: string,
  converter: Converter = serialConverter,
): Promise<Loader> {
  const checkpoint = await openCheckpoint(path, quant);
  open.push(checkpoint);
  const loader = new Loader(gpu, checkpoint, { converter });
  open.push(loader);
  return loader;
}

/** The values of every row, read back. */
async function rowsOf({ shape, shards }: Weight): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (const shard of shards) {
    const values = valuesOf(shard.format, await shardBytes(gpu, shard, shape[1]));
    for (let r = 0; r < shard.rows; r++) rows.push(values.subarray(r * K, (r + 1) * K));
  }
  return rows;
}

function valuesOf(format: WeightFormat, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (isBlockFormat(format)) return dequantisePlanes(format.toUpperCase() as BlockType, K, bytes);
  return meant(format.toUpperCase() as WeightDtype, bytes);
}

const at = (name: string) => `model.layers.0.${name}.weight`;
const qkv = (rows: number[]) =>
  ["q", "k", "v"].map((part, i) => ({ name: at(`self_attn.${part}_proj`), rows: rows[i]! }));

const copied = <S extends { rows: Uint8Array }>(stored: S): S => ({ ...stored, rows: stored.rows.slice() });

/** Conversions end in the opposite order. */
function lateFirst(width: number): Converter {
  let turn = 20;
  return {
    width,
    convert: async ({ rows, between, ...job }, use) => {
      const own = { ...job, rows: rows.slice(), ...(between && { between: copied(between) }) };
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, (turn -= 4))));
      return serialConverter.convert(own, use);
    },
    close: () => Promise.resolve(),
  };
}

describe("packed matrices", () => {
  test("parts in formats of their own, in sections", async () => {
    const { path, values } = await file([
      { gguf: "attn_q", dtype: "Q4_K", rows: 24 },
      { gguf: "attn_k", dtype: "Q4_K", rows: 8 },
      { gguf: "attn_v", dtype: "Q6_K", rows: 10 },
    ]);
    const loader = await loaderOf(path);
    const W = await loader.matrix(qkv([24, 8, 10]), K);
    expect(new Set((await rowsOf(W)).flatMap((row) => [...row]))).toEqual(new Set([0])); // not yet
    await loader.fill();
    expect(W.shards.map(({ firstRow, rows, format }) => [firstRow, rows, format])).toEqual([
      [0, 32, "q4_k"],
      [32, 10, "q6_k"],
    ]);
    const want = ["attn_q", "attn_k", "attn_v"].flatMap((name) => [...values.get(name)!]);
    expect((await rowsOf(W)).flatMap((row) => [...row])).toEqual(want);
    expect(loader.parameters).toBe(42 * K);
    expect(loader.bytes).toBe(32 * weightRowBytes("q4_k", K) + 10 * weightRowBytes("q6_k", K));
  });

  test("large ones, converted in any order", async () => {
    const rows = 9000; // several chunks of 4 MiB
    const { path, values } = await file([{ gguf: "ffn_down", dtype: "BF16", rows }]);
    const loader = await loaderOf(path, "q8_0", lateFirst(3));
    const W = await loader.matrix([{ name: at("mlp.down_proj"), rows }], K);
    await loader.fill();
    const want = dequantise("Q8_0", quantise("Q8_0", K, values.get("ffn_down")!));
    const got = await rowsOf(W);
    expect(got.length).toBe(rows);
    for (const [r, row] of got.entries()) {
      if (row.some((value, k) => value !== want[r * K + k])) throw new Error(`row ${r} is another`);
    }
  });

  test("what cannot be quantised is told with its name, when nothing writes any more", async () => {
    const { path } = await file([{ gguf: "ffn_down", dtype: "F32", rows: 9000 }], (values) => {
      values[5000 * K + 3] = Infinity;
    });
    const loader = await loaderOf(path, "q4_k", lateFirst(4));
    await loader.matrix([{ name: at("mlp.down_proj"), rows: 9000 }], K);
    const attempt = loader.fill();
    await expect(attempt).rejects.toMatchObject({ code: "bad_checkpoint" });
    await expect(attempt).rejects.toThrow(`tensor ${at("mlp.down_proj")}: a weight is Infinity, which Q4_K`);
    loader.dispose(); // a write to a destroyed buffer would be an uncaptured error
  });
});

test("no more chunks are held for conversions than are read or converted at once", async () => {
  const rows = 9000; // five chunks of each
  const names = ["down", "gate", "up"];
  const { path } = await file(names.map((name) => ({ gguf: `ffn_${name}`, dtype: "F32", rows })));
  let [held, most] = [0, 0];
  const width = 2;
  const loader = await loaderOf(path, "q8_0", {
    ...serialConverter,
    width,
    convert: async (job, use) => {
      most = Math.max(most, ++held);
      const own = { ...job, rows: job.rows.slice() };
      await new Promise((resolve) => setTimeout(resolve, 10));
      await serialConverter.convert(own, use);
      held -= 1;
    },
  });
  for (const name of names) await loader.matrix([{ name: at(`mlp.${name}_proj`), rows }], K);
  await loader.fill();
  expect(most).toBeGreaterThan(width);
  expect(most).toBeLessThanOrEqual(width + tensorsAtOnce);
});

describe("filling", () => {
  const down = { name: at("mlp.down_proj"), rows: 9000 };

  test("goes through the file from front to back, whatever was asked for first", async () => {
    const names = ["attn_q", "attn_k", "attn_v", "ffn_down"];
    const { path } = await file(names.map((gguf) => ({ gguf, dtype: "F16", rows: 16 })));
    const checkpoint = await openCheckpoint(path);
    const begun: string[] = [];
    const seen = new Proxy(checkpoint, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (key === "stream") begun.push(args[0] as string);
          return (value as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const loader = new Loader(gpu, seen);
    open.push(checkpoint, loader);
    await loader.matrix([{ ...down, rows: 16 }], K);
    await loader.matrix(qkv([16, 16, 16]).reverse(), K);
    await loader.fill();
    expect(begun).toEqual([...qkv([0, 0, 0]).map(({ name }) => name), down.name]);
  });

  test("takes up what is asked for meanwhile, and afterwards", async () => {
    const { path, values } = await file([
      { gguf: "ffn_down", dtype: "F32", rows: 9000 },
      { gguf: "attn_q", dtype: "F32", rows: 8 },
      { gguf: "attn_k", dtype: "F32", rows: 8 },
    ]);
    const loader = await loaderOf(path);
    await loader.matrix([down], K);
    const [q, k] = qkv([8, 8, 8]);
    const Wq = await loader.fillBeside(() => loader.matrix([q!], K));
    const Wk = await loader.matrix([k!], K);
    await loader.fill();
    for (const [W, name] of [
      [Wq, "attn_q"],
      [Wk, "attn_k"],
    ] as const) {
      expect((await rowsOf(W)).flatMap((row) => [...row])).toEqual([...values.get(name)!]);
    }
  });

  test("ends when what is built beside it fails, with that failure", async () => {
    const { path } = await file([{ gguf: "ffn_down", dtype: "BF16", rows: 9000 }]);
    const loader = await loaderOf(path, "q8_0", lateFirst(2));
    await loader.matrix([down], K);
    const attempt = loader.fillBeside(() => Promise.reject(new Error("no kernel")));
    await expect(attempt).rejects.toThrow("no kernel");
    loader.dispose(); // a write to a destroyed buffer would be an uncaptured error
    await expect(loader.fill()).rejects.toThrow("stopped");
  });

  test("ends when a conversion is given up, and takes nothing of it that comes later", async () => {
    const { path } = await file([{ gguf: "ffn_down", dtype: "Q8_0", rows: 16 }]);
    let late: () => void = () => undefined;
    const loader = await loaderOf(path, undefined, {
      ...serialConverter,
      convert: (job, use) => {
        late = () => use(convert(job));
        return Promise.reject(new Error("given up"));
      },
    });
    const W = await loader.matrix([{ ...down, rows: 16 }], K);
    await expect(loader.fill()).rejects.toThrow("given up");
    late();
    expect(new Set((await rowsOf(W)).flatMap((row) => [...row]))).toEqual(new Set([0]));
  });

  test("fails what is built beside it", async () => {
    const { path } = await file([{ gguf: "ffn_down", dtype: "F32", rows: 9000 }], (values) => {
      values[7] = NaN;
    });
    const loader = await loaderOf(path, "q4_k");
    await loader.matrix([down], K);
    const attempt = loader.fillBeside(() => Promise.resolve("built"));
    await expect(attempt).rejects.toThrow(`tensor ${down.name}: a weight is NaN, which Q4_K`);
  });
});

describe("gate and up", () => {
  const parts = [at("mlp.gate_proj"), at("mlp.up_proj")].map((name) => ({ name, rows: 5000 })) as [
    { name: string; rows: number },
    { name: string; rows: number },
  ];

  test.each<[string, WeightDtype, WeightDtype, string | undefined, WeightFormat]>([
    ["as they are", "Q4_K", "Q4_K", undefined, "q4_k"],
    ["read to their place", "BF16", "BF16", undefined, "bf16"],
    ["quantised", "BF16", "F32", "q5_k", "q5_k"],
    ["in formats of their own: f32", "Q4_K", "Q6_K", undefined, "f32"],
    ["floats of their own: f32", "BF16", "F16", undefined, "f32"],
  ])("%s", async (_, first, second, quant, format) => {
    const { path, values } = await file([
      { gguf: "ffn_gate", dtype: first, rows: 5000 },
      { gguf: "ffn_up", dtype: second, rows: 5000 },
    ]);
    const loader = await loaderOf(path, quant, lateFirst(2));
    const W = await loader.interleaved(...parts, K);
    await loader.fill();
    expect(new Set(W.shards.map((shard) => shard.format))).toEqual(new Set([format]));
    const kept = (name: string) => {
      const own = values.get(name)!;
      return quant ? dequantise("Q5_K", quantise("Q5_K", K, own)) : own;
    };
    const [gate, up] = [kept("ffn_gate"), kept("ffn_up")];
    for (const [r, row] of (await rowsOf(W)).entries()) {
      const want = (r % 2 === 0 ? gate : up).subarray((r >> 1) * K, ((r >> 1) + 1) * K);
      if (row.some((value, k) => value !== want[k])) throw new Error(`row ${r} is another`);
    }
  });
});
