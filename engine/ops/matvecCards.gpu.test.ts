// A card's mat-vecs in bytes against their twin, x rounded as it is rounded there.
import { describe, expect, test, vi } from "vitest";
import {
  asCard,
  largestCodes,
  noise,
  pack,
  poisoned,
  relative,
  withoutSubgroups,
} from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import { blockFormats, type BlockType } from "../formats/blocks/format.ts";
import type { Gpu } from "../gpu/adapter.ts";
import {
  isBlockFormat,
  permanent,
  weightFormats,
  type Tensor,
  type Weight,
  type WeightFormat,
} from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import { createWeight, writeRows } from "../gpu/weight.ts";
import * as reference from "../reference/linear.ts";
import { rmsNorm } from "../reference/norm.ts";
import { quantised } from "./bytes.ts";
import { kept } from "./kept.fixture.ts";
import { linear, normLinear } from "./linear.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu(false); // as cards are

/** y of T tokens, each of a sequence of its own. */
async function run(gpu: Gpu, W: Weight, x: Float32Array, T: number): Promise<Float32Array> {
  const [N, K] = W.shape;
  const capacity = T === 1 ? 1 : T + 1;
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const each = Array.from({ length: T }, (_, i) => ({ row: i, slot: i }));
  const [y] = await runOps(gpu, { capacity, ...(T > 1 ? { each } : {}) }, (pass) => [linear(pass, xs, W)]);
  expect((y as Float32Array).subarray(T * N).every((value) => value === 0)).toBe(true);
  return (y as Float32Array).subarray(0, T * N);
}

/** As activations are: neighbours alike, some channels always large; one block is all zeros, one has a single value. */
function activations(T: number, K: number): Float32Array<ArrayBuffer> {
  const [steps, x] = [noise(T * K, 7), new Float32Array(T * K)];
  for (let i = 0; i < x.length; i++) {
    const k = i % K;
    x[i] = (k === 0 ? 0 : 0.9 * x[i - 1]!) + 0.4 * steps[i]!;
    if (k >> 5 === 2 || (k >> 5 === 5 && k !== 5 * 32 + 17)) x[i] = 0;
  }
  return x.map((value, i) => value * ((i % K) % 211 === 13 ? 15 : 1));
}

/** Rows of W whose neighbours are alike as well, one of which has no other value than 0 in some of its blocks. */
function rowsAlike(N: number, K: number): Float32Array<ArrayBuffer> {
  const values = noise(N * K, 2 + K);
  for (let i = 1; i < values.length; i++) values[i]! += 0.5 * values[i - 1]!;
  return values.fill(0, 3 * K, 3 * K + 512);
}

const way = (gpu: Gpu, name: string): Gpu => ({ ...asCard(gpu), tuning: Tuning.only(`bytes, ${name}`) });
const blocks = weightFormats.filter(isBlockFormat);
const guises: [string, Gpu, readonly WeightFormat[]][] = [
  ["sums by subgroups", way(device, "32 lanes, 1"), blocks],
  ["sums in workgroup memory, eight rows at a time", way(withoutSubgroups(device), "32 lanes, 2"), ["q4_0"]],
];

/** Eight tokens to a workgroup, and one; or as many as compile sooner. */
const tokensOf: Partial<Record<WeightFormat, number>> = { q4_k: 9, q6_k: 3, q4_0: 3, q8_0: 3 };

describe.each(guises)("%s", (_, gpu, formats) => {
  test.each(formats)("%s: the twin's sums, and each token's are its own", async (format) => {
    // More blocks than lanes, and not all lanes at their last turn.
    const K = blockFormats[format.toUpperCase() as BlockType].values === 32 ? 1120 : 1280;
    const [T, N] = [tokensOf[format] ?? 2, 83];
    const { bytes, values } = pack(format, rowsAlike(N, K), K);
    const W = kept(weightOf(gpu, [N, K], format, bytes, (56 * bytes.length) / N)); // shards of 56 rows
    expect(W.shards.length).toBe(2);
    const x = activations(T, K);
    const y = await run(gpu, W, x, T);
    expect(relative(y, reference.linear(reference.inBytes(x), values, { T, K, N }))).toBeLessThan(1e-6);
    const lost = relative(y, reference.linear(x, values, { T, K, N }));
    expect(lost, "x is rounded").toBeGreaterThan(2e-3);
    expect(lost, "but not more").toBeLessThan(1.5e-2);
    for (const t of [0, T - 1])
      expect(await run(gpu, W, x.slice(t * K, (t + 1) * K), 1)).toEqual(y.slice(t * N, (t + 1) * N));
  });

  test("behind a norm; zeros; and what is not finite is not lost", async () => {
    const [K, N] = [512, 40];
    const { bytes, values } = pack("q4_k", noise(N * K, 3), K);
    const W = kept(weightOf(gpu, [N, K], "q4_k", bytes));
    const gain = noise(K, 4);
    const w = kept(permanent(gpu, "gain", [K], gain));
    const norm = { eps: 1e-5, offset: 1 } as const;
    const product = async (x: Float32Array<ArrayBuffer>) => {
      const xs = kept(permanent(gpu, "x", [1, K], x));
      const [y] = await runOps(gpu, { capacity: 1 }, (pass) => [normLinear(pass, xs, w, norm, W)]);
      return y as Float32Array;
    };
    const x = noise(K, 5);
    const given = reference.inBytes(rmsNorm(x, gain, { T: 1, C: K, ...norm }));
    expect(relative(await product(x), reference.linear(given, values, { T: 1, K, N }))).toBeLessThan(2e-3); // ties
    expect((await product(new Float32Array(K))).every((value) => value === 0)).toBe(true);
    for (const odd of [NaN, Infinity]) {
      const y = await product(noise(K, 6).fill(odd, 100, 101));
      expect(y.some((value) => Number.isFinite(value))).toBe(false);
    }
  });

  test.each(formats)("%s: the largest sums there are", async (format) => {
    const { K, bytes, values } = largestCodes(format);
    const W = kept(weightOf(gpu, [2, K], format, bytes));
    for (const sign of [1, -1]) {
      const x = new Float32Array(K).fill(sign);
      const want = reference.linear(x, values, { T: 1, K, N: 2 });
      expect(relative(await run(gpu, W, x, 1), want)).toBeLessThan(1e-6);
    }
  });
});

test("parts of several types, as q, k and v of one matrix are in files of Q4_K_M", async () => {
  const [gpu, K] = [way(device, "32 lanes, 1"), 512];
  const parts = (["q4_k", "q6_k", "q8_0"] as const).map((format, i) => {
    const rows = 24 + 8 * i;
    return { format, rows, ...pack(format, noise(rows * K, 5 + i), K) };
  });
  const N = 24 + 32 + 40;
  const W = kept(createWeight(gpu, "W", [N, K], parts));
  let first = 0;
  for (const { rows, bytes } of parts) {
    writeRows(gpu, W, first, bytes);
    first += rows;
  }
  const x = activations(1, K);
  const values = Float32Array.from(parts.flatMap((part) => [...part.values]));
  const want = reference.linear(reference.inBytes(x), values, { T: 1, K, N });
  expect(relative(await run(gpu, W, x, 1), want)).toBeLessThan(1e-6);
});

// As many blocks as leave lanes idle, or as some lanes take two of.
test.each([1120, 4160])("rows of %i normed and in bytes by one dispatch: the twin's codes", async (K) => {
  const [gpu, T, capacity] = [asCard(device), 3, 4];
  const norm = { eps: 1e-5, offset: 1 } as const;
  const x = activations(T, K);
  x.fill(0, K, 2 * K); // a row of zeros
  const gain = noise(K, 4);
  const [xs, w] = [
    permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)),
    permanent(gpu, "w", [K], gain),
  ];
  kept(xs);
  kept(w);
  const [words, factors] = await runOps(gpu, { capacity, tokens: T }, (pass) => {
    const { places } = quantised(pass, { x: xs, norm: { ...norm, w } }, false);
    return places as Tensor[];
  });
  const want = rmsNorm(x, gain, { T, C: K, ...norm });
  const rounded = reference.inBytes(want);
  let others = 0;
  for (let block = 0; block < (T * K) / 32; block++) {
    const most = Math.max(...want.subarray(32 * block, 32 * block + 32).map(Math.abs));
    const [d, sum] = [factors![2 * block]!, factors![2 * block + 1]!];
    expect(Math.abs(d - most / 127)).toBeLessThanOrEqual((1e-6 * most) / 127);
    const codes = codesOf(words as Uint32Array, block);
    expect(sum).toBe(Math.fround(d * codes.reduce((a, b) => a + b, 0)));
    for (const [i, code] of codes.entries()) {
      const off = Math.abs(code * d - rounded[32 * block + i]!) / (d || 1);
      expect(off).toBeLessThan(1.001);
      if (off > 0.5) others++; // a tie, or all but one
    }
  }
  expect(others / (T * K)).toBeLessThan(1e-3);
  expect(relative(rounded, want)).toBeGreaterThan(2e-3);
  expect(words!.subarray((T * K) / 4).every((word) => word === 0)).toBe(true); // of tokens that are not there
});

/** The 32 codes of a block, as shaders/bytes/round.wgsl orders them. */
function codesOf(words: Uint32Array, block: number): Int8Array {
  const bytes = new Int8Array(words.buffer, words.byteOffset + 32 * block, 32);
  const of = (i: number) => bytes[(i % 8 < 4 ? 0 : 16) + 4 * (i >> 3) + (i % 4)]!;
  return Int8Array.from({ length: 32 }, (_, i) => of(i));
}
