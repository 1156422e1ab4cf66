// Weights in GGUF's block formats: what kernels read of planes is what their twin reads, alone and in products.
import { describe, expect, test } from "vitest";
import { randomBlocks } from "../../test-fixtures/blocks.ts";
import { guises, noise, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import { dequantise } from "../formats/blocks/dequantise.ts";
import { blockFormats, type BlockType } from "../formats/blocks/format.ts";
import { dequantisePlanes, packPlanes, planeLayout } from "../formats/blocks/planes.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { isBlockFormat, permanent, weightFormats, weightRowBytes, type BlockFormat } from "../gpu/tensor.ts";
import { createWeight, writeRows } from "../gpu/weight.ts";
import * as reference from "../reference/linear.ts";
import { embed } from "./embed.ts";
import { kept } from "./kept.fixture.ts";
import { linear, swiglu } from "./linear.ts";

const device = await testGpu();

const formats = weightFormats.filter(isBlockFormat);
const typeOf = (format: BlockFormat) => format.toUpperCase() as BlockType;

/** x [T, K] · Wᵀ of a format, in the first T rows of a pass for more. */
async function product(gpu: Gpu, format: BlockFormat, T: number, K: number, N: number, limit?: number) {
  const capacity = T === 1 ? 1 : T + 3;
  const x = noise(T * K, 1 + T);
  const { bytes, values } = pack(format, noise(N * K, 2 + K), K);
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const W = kept(weightOf(gpu, [N, K], format, bytes, limit));
  const [y] = await runOps(gpu, { capacity, tokens: T }, (pass) => [linear(pass, xs, W)]);
  return { y: y!.subarray(0, T * N) as Float32Array, want: reference.linear(x, values, { T, K, N }), x, W };
}

describe.each(formats)("%s", (format) => {
  const type = typeOf(format);
  const { values } = blockFormats[type];

  test("a row is as long on the device as its planes", () => {
    for (const blocks of [1, 2, 3, 5, 16, 20, 43]) {
      const K = blocks * values;
      expect(weightRowBytes(format, K)).toBe(planeLayout(type, K).bytes);
    }
    expect(() => weightRowBytes(format, values / 2)).toThrow("are not whole");
  });

  // Such are q6_k's of trained weights: d is a 4096th of a block's largest value.
  const tiny = (blocks: Uint8Array<ArrayBuffer>) => {
    const { bytes, d, min } = blockFormats[type];
    const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.length);
    for (let b = 0; b * bytes < blocks.length; b++)
      for (const at of min ? [d, min.at] : [d])
        view.setUint16(b * bytes + at, ((b & 1) << 15) | (1 + 61 * b), true);
    return blocks;
  };

  test.each([
    ["every code, scale and minimum", (blocks: Uint8Array<ArrayBuffer>) => blocks],
    ["factors below 2^-14, whose halves are not normal", tiny],
  ])("%s", async (_, change) => {
    const perRow = 5;
    const C = perRow * values;
    const ordinary = change(randomBlocks(type).slice(-3 * perRow * blockFormats[type].bytes)); // finite scales
    const planes = packPlanes(type, C, ordinary);
    const want = dequantise(type, ordinary);
    expect(dequantisePlanes(type, C, planes)).toEqual(want);
    const table = kept(weightOf(device, [3, C], format, planes));
    const ids = kept(permanent(device, "ids", [3], Uint32Array.of(2, 0, 1)));
    const [y] = await runOps(device, { capacity: 3 }, (pass) => [embed(pass, ids, table)]);
    const rows = [2, 0, 1].flatMap((row) => [...want.subarray(row * C, (row + 1) * C)]);
    const largest = rows.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const off = rows.map((value, i) => Math.abs(value - y![i]!) / largest);
    expect(Math.max(...off)).toBeLessThan(1e-7);
  });

  test.each(guises(device))("products, %s", async (_, gpu) => {
    for (const T of [1, 19]) {
      const { y, want } = await product(gpu, format, T, 3 * values, 37);
      expectClose(y, want, 1e-4, `${T} tokens`);
    }
  });
});

test.each(["q8_0", "q4_k"] as const)("%s in shards, gate and up", async (format) => {
  const K = 512;
  const limit = 16 * weightRowBytes(format, K);
  for (const T of [1, 7]) {
    const { y, want, x, W } = await product(device, format, T, K, 38, limit);
    expectClose(y, want, 1e-4);
    expect(W.shards.map(({ firstRow }) => firstRow)).toEqual([0, 16, 32]);
    const xs = kept(permanent(device, "x", [T, K], x));
    const [u] = await runOps(device, { capacity: T }, (pass) => [swiglu(pass, xs, W)]);
    const { values: stored } = pack(format, noise(38 * K, 2 + K), K);
    expectClose(u!, reference.swiglu(x, stored, { T, K, N: 38 }), 2e-4);
  }
});

test("a matrix of parts in formats of their own", async () => {
  const K = 256;
  const parts = [
    { format: "q4_k", rows: 21 },
    { format: "bf16", rows: 3 },
    { format: "q6_k", rows: 12 },
  ] as const;
  const packed = parts.map(({ format, rows }, i) => pack(format, noise(rows * K, 5 + i), K));
  const W = kept(createWeight(device, "W", [36, K], parts));
  writeRows(device, W, 0, packed[0]!.bytes.subarray(0, 20 * weightRowBytes("q4_k", K)));
  writeRows(device, W, 20, packed[0]!.bytes.subarray(20 * weightRowBytes("q4_k", K)));
  writeRows(device, W, 21, packed[1]!.bytes);
  writeRows(device, W, 24, packed[2]!.bytes);
  const values = Float32Array.from(packed.flatMap((part) => [...part.values]));
  for (const T of [1, 5]) {
    const x = noise(T * K, T);
    const xs = kept(permanent(device, "x", [T, K], x));
    const [y] = await runOps(device, { capacity: T }, (pass) => [linear(pass, xs, W)]);
    expectClose(y!, reference.linear(x, values, { T, K, N: 36 }), 1e-4);
  }
  expect(() => writeRows(device, W, 23, packed[1]!.bytes)).toThrow("are bf16 and q6_k");
  expect(() => createWeight(device, "W", [35, K], parts)).toThrow("sections of 36 rows for 35");
});

test("a scale one block off would be seen", async () => {
  for (const format of ["q8_0", "q4_k"] as const) {
    const K = 512;
    const { y, x } = await product(device, format, 1, K, 8);
    const { values } = pack(format, noise(8 * K, 2 + K), K);
    const per = blockFormats[typeOf(format)].values;
    const moved = values.map((_, i) => values[(i + per) % values.length]!);
    expect(() => expectClose(y, reference.linear(x, moved, { T: 1, K, N: 8 }), 1e-2)).toThrow();
  }
});
