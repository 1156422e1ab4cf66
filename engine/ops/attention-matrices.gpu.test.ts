// attention_matrix with its matrices emulated in workgroup memory (shaders/matrix/emulated.wgsl): all of its indexing, scaling,
// masking, rescaling and rounding is run, on adapters that multiply no matrices.
import { expect, test, vi } from "vitest";
import {
  attentionInputs,
  normals,
  padded,
  pagingOf,
  toPages,
  withTensors,
  type AttentionInputs,
} from "../../test-fixtures/attention.ts";
import { relative } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { emulating, withMatrices } from "../../test-fixtures/matrices.ts";
import { runOps } from "../../test-fixtures/run.ts";
import { f16ToF32, f16ToNumber, f32ToF16 } from "../formats/halves.ts";
import * as reference from "../reference/attention.ts";
import { attention, packedWidth } from "./attention.ts";
import { kvRowBytes, PAGE, type KvFormat } from "./kv-cache.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu(false); // as cards are

interface Inputs extends AttentionInputs {
  format: KvFormat;
}

function inputs(...of: Parameters<typeof attentionInputs>): Inputs {
  return { ...attentionInputs(...of), format: "f32" };
}

/** Rows of a cache in its format, as words; what is nobody's is NaN in any. */
function stored(format: KvFormat, values: Float32Array, D: number): Float32Array {
  if (format === "f32") return values;
  if (format === "f16") return new Float32Array(f32ToF16(values).buffer);
  const words = kvRowBytes(format, D) / 4;
  const out = new DataView(new ArrayBuffer((values.length / D) * words * 4));
  for (let row = 0; row < values.length / D; row++)
    for (let block = 0; block < D; block += 32) {
      const own = values.subarray(row * D + block, row * D + block + 32);
      const scale = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127;
      const at = row * words * 4;
      own.forEach((x, i) => out.setInt8(at + block + i, Math.round(x / scale)));
      out.setUint16(at + D + block / 16, f32ToF16(Float32Array.of(scale))[0]!, true);
    }
  return new Float32Array(out.buffer);
}

/** What attention then reads. */
function read(format: KvFormat, values: Float32Array, D: number): Float32Array {
  if (format === "f32") return values;
  if (format === "f16") return f16ToF32(f32ToF16(values));
  const words = new DataView(stored(format, values, D).buffer as ArrayBuffer);
  const row = kvRowBytes(format, D);
  return values.map((_, i) => {
    const [at, d] = [Math.floor(i / D) * row, i % D];
    const scale = f16ToNumber(words.getUint16(at + D + 2 * Math.floor(d / 32), true));
    return words.getInt8(at + d) * scale;
  });
}

async function run(matrices: string, rows: 32 | 64, given: Inputs, capacity = given.shape.T) {
  const { shape, format, q, k, v, gate } = given;
  const { T, past, heads, kvHeads, headDim } = shape;
  const width = packedWidth(shape, true);
  const paging = pagingOf(1, shape.capacity);
  const words = kvRowBytes(format, headDim) / 4;
  const cacheShape = [paging.pages, kvHeads, PAGE, words];
  const data = {
    q: [[capacity, heads, headDim], padded(q, capacity * heads * headDim)],
    k: [cacheShape, toPages(stored(format, k, headDim), paging, kvHeads, words)],
    v: [cacheShape, toPages(stored(format, v, headDim), paging, kvHeads, words)],
    table: [[1, paging.pages - 1], paging.table],
    gate: [[capacity, width], padded(gate ?? new Float32Array(), capacity * width)],
  } as const;
  const gpu = withMatrices(device, matrices, `matrices ${matrices}, ${rows} rows`);
  return withTensors(gpu, data, async (tensors) => {
    const used: string[] = [];
    const [y] = await runOps(gpu, { capacity, tokens: T, past }, (pass) => {
      const options = { heads, kvHeads, headDim, ...(gate ? { gate: tensors["gate"]! } : {}) };
      const cache = { format, k: tensors["k"]!, v: tensors["v"]!, table: tensors["table"]! };
      return [attention(emulating(pass, used), tensors["q"]!, cache, options)];
    });
    expect(used).toEqual([...(format === "f16" ? [] : ["kv_ranges"]), "row_scales", "attention_matrix"]);
    const count = T * heads * headDim;
    const rest = (y as Float32Array).subarray(count);
    expect(
      rest.every((value) => value === 0),
      "rows beyond the run's tokens are left alone",
    ).toBe(true);
    return (y as Float32Array).subarray(0, count);
  });
}

/** Over what the cache holds. */
function twin({ shape, format, q, k, v, gate }: Inputs): Float32Array {
  const [keys, values] = [read(format, k, shape.headDim), read(format, v, shape.headDim)];
  return reference.attention(q, { k: keys, v: values }, shape, gate);
}

/** What f16 makes of rows of so many that were taken into its range, and back. */
function rounded(values: Float32Array, row: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let at = 0; at < values.length; at += row) {
    const own = values.subarray(at, at + row);
    const most = own.reduce((max, value) => (Math.abs(value) > max ? Math.abs(value) : max), 0);
    const scale = 2 ** (14 - Math.max(-100, Math.floor(Math.log2(most))));
    out.set(
      f16ToF32(f32ToF16(own.map((value) => value * scale))).map((value) => value / scale),
      at,
    );
  }
  return out;
}

/** The twin of rounded inputs: what is left are the weights' 11 bits. */
function roundedTwin(given: Inputs): Float32Array {
  const { headDim: D, capacity } = given.shape;
  const [k, v] = [given.k, given.v].map((values) => rounded(read(given.format, values, D), capacity * D));
  return twin({ ...given, format: "f32", q: rounded(given.q, D), k: k!, v: v! });
}

/** Scores chosen, not drawn: q is 8·√D on one axis, so that score(k) is 8·K[k, 0] exactly. */
function scored(given: Inputs, score: (key: number) => number): Inputs {
  const { headDim: D, capacity } = given.shape;
  const key = (i: number) => Math.floor(i / D) % capacity;
  return {
    ...given,
    q: given.q.map((_, i) => (i % D === 0 ? 8 * Math.sqrt(D) : 0)),
    k: given.k.map((value, i) => (Number.isNaN(value) ? NaN : score(key(i)) / 8)),
  };
}

const weightsError = 2.5e-4; // half of the last of 11 bits

/** The one whose pipeline most tests share. */
const plain = ["16x16x16", 64] as const;

test.each([
  [...plain, 64, 17, 100],
  ["8x16x16", 32, 72, 65, 3],
  ["8x8x8", 64, 128, 30, 257],
  ["16x16x16", 32, 256, 21, 60],
] as const)("%s, %d rows, head width %d, T=%d past=%d", async (matrices, rows, headDim, T, past) => {
  const given = inputs(T, past, headDim, true);
  const y = await run(matrices, rows, given, T + 3);
  expect(relative(y, roundedTwin(given))).toBeLessThan(weightsError);
  expect(relative(y, twin(given))).toBeLessThan(1e-3);
  const rising = scored(given, (key) => 4 * key);
  expect(
    relative(await run(matrices, rows, rising, T + 3), roundedTwin(rising)),
    "all output is rescaled",
  ).toBeLessThan(weightsError);
  const late = { ...given.shape, past: past - 1 };
  const narrow = given.q.map((value, i) => (i % headDim < headDim - 8 ? value : 0));
  for (const wrong of [twin({ ...given, shape: late }), twin({ ...given, q: narrow })])
    expect(relative(y, wrong), "a query that misses its own key, or a lost tail").toBeGreaterThan(1e-2);
});

test.each([
  ["f16", 14, 2],
  ["q8_0", 5, 5],
] as const)("a cache in %s, %d heads on %d", async (format, heads, kvHeads) => {
  const given = { ...inputs(19, 70, 64, false, heads, kvHeads), format };
  const y = await run("16x16x16", 32, given);
  expect(relative(y, roundedTwin(given))).toBeLessThan(weightsError);
  expect(relative(y, twin({ ...given, format: "f32" })), "it is not in f32").toBeGreaterThan(weightsError);
});

test("every length of a run, and past, is masked where it ends", async () => {
  for (const [T, past] of [
    [2, 0],
    [33, 0],
    [5, 63],
    [64, 64],
    [130, 31],
  ] as const) {
    const given = inputs(T, past, 64, true);
    const y = await run(...plain, given, 133);
    expect(relative(y, roundedTwin(given)), `T=${T} past=${past}`).toBeLessThan(weightsError);
  }
});

test.each<[string, (key: number) => number]>([
  ["equal", () => 3],
  ["all very negative", (key) => -8192 - (key % 3) * 8],
  ["rising to 8192", (key) => 16 * key],
  ["rising slowly", (key) => key / 32],
  ["falling from 8192", (key) => 8192 - 8 * key],
  ["one key far above the rest", (key) => (key === 70 ? 1e4 : -1e4)],
  ["1e30 apart", (key) => (key % 2 ? 1e30 : -1e30)],
])("scores: %s", async (_, score) => {
  const given = scored(inputs(23, 300, 64, true), score);
  const y = await run(...plain, given, 133);
  expect(relative(y, roundedTwin(given))).toBeLessThan(weightsError);
});

test("keys that have much in common, and values", async () => {
  const given = inputs(40, 200, 64, true);
  const common = (values: Float32Array, seed: number) => {
    const shared = normals(64, seed, 30);
    return values.map((value, i) => shared[i % 64]! + value / 8);
  };
  Object.assign(given, { k: common(given.k, 8), v: common(given.v, 9) });
  const y = await run(...plain, given, 133);
  expect(relative(y, roundedTwin(given))).toBeLessThan(weightsError);
});

test("queries, keys and values far beyond f16, and tiny ones", async () => {
  const given = inputs(40, 200, 64, true);
  const sizes = [1, 1e-9, 1e4, 0];
  given.q = given.q.map((value, i) => value * 1e-7 * sizes[Math.floor(i / 64) % sizes.length]!);
  given.k = given.k.map((value) => value * 1e7);
  given.v = given.v.map((value, i) => value * (i < given.v.length / 2 ? 3e7 : 3e-7));
  const y = await run(...plain, given, 133);
  const want = roundedTwin(given);
  const kvHead = (values: Float32Array, head: number) =>
    values.filter((_, i) => Math.floor((Math.floor(i / 64) % 6) / 3) === head);
  for (const head of [0, 1])
    expect(relative(kvHead(y, head), kvHead(want, head)), `kv head ${head}`).toBeLessThan(weightsError);
  const unscaled = (values: Float32Array) =>
    f16ToF32(f32ToF16(values.map((value) => Math.min(65504, Math.max(-65504, value)))));
  const clipped = twin({ ...given, q: unscaled(given.q), k: unscaled(given.k), v: unscaled(given.v) });
  expect(relative(y, clipped)).toBeGreaterThan(1e-1);
});

test.each(["q", "k", "v"] as const)("what is not finite in %s does not become so", async (which) => {
  const given = inputs(23, 300, 64, true);
  const row = which === "q" ? 0 : 20; // of the cache's first kv head, which every query sees; or of the first query
  given[which][row * 64 + 9] = which === "k" ? Infinity : NaN;
  const y = await run(...plain, given, 133);
  const seeing = y.subarray(0, which === "q" ? 64 : 3 * 64);
  expect(seeing.some(Number.isFinite)).toBe(false);
  expect(y.subarray(3 * 64, 6 * 64).every(Number.isFinite), "another kv head").toBe(true);
});

test("a run twice gives the same bits, and chunks of a prompt what one run gives", async () => {
  const whole = inputs(60, 0, 64, true);
  const y = await run(...plain, whole, 133);
  expect(await run(...plain, whole, 133)).toEqual(y);
  const [row, width] = [6 * 64, packedWidth(whole.shape, true)];
  for (const [from, to] of [
    [0, 7],
    [7, 60],
  ] as const) {
    const shape = { ...whole.shape, past: from, T: to - from };
    const part = {
      ...{ ...whole, shape, q: whole.q.subarray(from * row, to * row) },
      gate: whole.gate!.subarray(from * width, to * width),
    };
    expect(relative(await run(...plain, part, 133), y.subarray(from * row, to * row))).toBeLessThan(1e-3);
  }
});
