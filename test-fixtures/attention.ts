// Inputs of attention tests: seeded values, and a cache whose unused rows hold what must never be read.
import { f16ToNumber } from "../engine/formats/halves.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { free, permanent, type Tensor } from "../engine/gpu/tensor.ts";
import { packedWidth } from "../engine/ops/attention.ts";
import { PAGE, type KvFormat } from "../engine/ops/kv-cache.ts";
import type { AttentionShape } from "../engine/reference/attention.ts";

/** About normal (the sum of four uniforms), mean 0, deviation `scale`; the same values for the same seed. */
export function normals(count: number, seed: number, scale = 1): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3) * scale,
  );
}

/** `values` with room for `length`, the rest NaN. */
export function padded(values: Float32Array, length: number): Float32Array {
  const out = new Float32Array(length).fill(NaN);
  out.set(values);
  return out;
}

/** A cache [Nkv, capacity, D] with `filled` rows a head; the rows behind hold NaN. */
export function filledCache(shape: AttentionShape, filled: number, seed: number): Float32Array {
  const { kvHeads, capacity, headDim } = shape;
  const values = normals(kvHeads * capacity * headDim, seed);
  return values.map((value, i) => (Math.floor(i / headDim) % capacity < filled ? value : NaN));
}

export interface AttentionInputs {
  shape: AttentionShape;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  gate?: Float32Array;
}

export function attentionInputs(
  T: number,
  past: number,
  headDim: number,
  gated: boolean,
  heads = 6,
  kvHeads = 2,
): AttentionInputs {
  const shape = { T, past, heads, kvHeads, headDim, capacity: 400 };
  return {
    shape,
    q: normals(T * heads * headDim, 1, 2),
    k: filledCache(shape, past + T, 2),
    v: filledCache(shape, past + T, 3),
    ...(gated ? { gate: normals(T * packedWidth(shape, true), 4, 3) } : {}),
  };
}

/** The projection of one token whose queries, key and value are these (those of row `past`): q | k | v, with its gates. */
export function packedToken({ shape, q, k, v, gate }: AttentionInputs): Float32Array {
  const { heads, kvHeads, headDim: D, past, capacity } = shape;
  const out = gate?.slice() ?? new Float32Array(packedWidth(shape, false));
  const stride = gate ? 2 * D : D;
  for (let h = 0; h < heads; h++) out.set(q.subarray(h * D, (h + 1) * D), h * stride);
  for (let h = 0; h < kvHeads; h++) {
    const row = (h * capacity + past) * D;
    const at = heads * stride + h * D;
    out.set(k.subarray(row, row + D), at);
    out.set(v.subarray(row, row + D), at + kvHeads * D);
  }
  return out;
}

/** What an op that norms and turns has to be told to leave heads as they are; `on` has a `still` table. */
export function asTheyAre(on: Record<string, Tensor>, headDim: number) {
  const rope = { table: on["still"]!, dims: headDim };
  return { eps: 0, normOffset: 0, rope, positions: on["positions"]! } as const;
}

/** Rope that turns nothing, at position 0 of T tokens. */
export function stillRope(headDim: number, T = 1) {
  return {
    still: [[1, headDim / 2, 2], Float32Array.from({ length: headDim }, (_, i) => 1 - (i % 2))],
    positions: [[3, T], new Uint32Array(3 * T)],
  } as const;
}

/** Whose the pages of a cache are: of `slots` sequences of up to `capacity` tokens, out of order; page 0 is nobody's. */
export interface Paging {
  slots: number;
  capacity: number;
  pages: number;
  /** [slots, pages of a sequence] */
  table: Uint32Array;
}

export function pagingOf(slots: number, capacity: number): Paging {
  const each = Math.ceil(capacity / PAGE);
  const table = Uint32Array.from({ length: slots * each }, (_, i) => {
    const [slot, page] = [Math.floor(i / each), i % each];
    return slots * each - page * slots - slot;
  });
  return { slots, capacity, pages: slots * each + 1, table };
}

/** From [slots, Nkv, capacity, D], as a twin has it, to [pages, Nkv, PAGE, D]; `rest` in what is nobody's. */
export function toPages(values: Float32Array, paging: Paging, heads: number, D: number, rest = NaN): Float32Array {
  const out = new Float32Array(paging.pages * heads * PAGE * D).fill(rest);
  forRows(paging, heads, (flat, paged) => out.set(values.subarray(flat * D, (flat + 1) * D), paged * D));
  return out;
}

/** And back. */
export function fromPages(values: Float32Array, paging: Paging, heads: number, D: number): Float32Array {
  const out = new Float32Array(paging.slots * heads * paging.capacity * D);
  forRows(paging, heads, (flat, paged) => out.set(values.subarray(paged * D, (paged + 1) * D), flat * D));
  return out;
}

function forRows({ slots, capacity, table }: Paging, heads: number, each: (flat: number, paged: number) => void): void {
  for (let slot = 0; slot < slots; slot++)
    for (let head = 0; head < heads; head++)
      for (let row = 0; row < capacity; row++) {
        const page = table[slot * Math.ceil(capacity / PAGE) + Math.floor(row / PAGE)]!;
        each((slot * heads + head) * capacity + row, (page * heads + head) * PAGE + (row % PAGE));
      }
}

/** Uploads tensors for the length of `use`. */
export async function withTensors<T>(
  gpu: Gpu,
  data: Record<string, readonly [shape: readonly number[], data: Float32Array | Uint32Array]>,
  use: (tensors: Record<string, Tensor>) => Promise<T>,
): Promise<T> {
  const made = Object.fromEntries(
    Object.entries(data).map(([name, [shape, values]]) => [name, permanent(gpu, name, shape, values)]),
  );
  try {
    return await use(made);
  } finally {
    free(...Object.values(made));
  }
}

const half = (word: number, high: boolean) => f16ToNumber(high ? word >>> 16 : word & 0xffff);

/** A row of a cache as values. */
export function decodedRow(format: KvFormat, words: Uint32Array, D: number): Float32Array {
  if (format === "f32") return new Float32Array(words.slice().buffer);
  if (format === "f16") return Float32Array.from({ length: D }, (_, i) => half(words[i >> 1]!, i % 2 === 1));
  const codes = new Int8Array(words.slice(0, D / 4).buffer);
  const scale = (i: number) => half(words[D / 4 + Math.floor(i / 64)]!, Math.floor(i / 32) % 2 === 1);
  return Float32Array.from(codes, (code, i) => code * scale(i));
}

/** By how much element i of a row that was written may be off: half a step, and what f16 cannot tell of the scale. */
export function mostError(format: KvFormat, exact: Float32Array, i: number): number {
  if (format === "f32") return Math.max(1, Math.abs(exact[i]!)) * 2e-6;
  if (format === "f16") return Math.abs(exact[i]!) * 2 ** -11 + 1e-7;
  const block = exact.subarray(i - (i % 32), i - (i % 32) + 32);
  const top = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return (top / 127) * 0.5 + top * 2 ** -10;
}
