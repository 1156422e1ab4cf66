// Inputs of attention tests: seeded values, and a cache whose unused rows hold what must never be read.
import type { Gpu } from "../engine/gpu/adapter.ts";
import { free, permanent, type Tensor } from "../engine/gpu/tensor.ts";
import { packedWidth } from "../engine/ops/attention.ts";
import { PAGE } from "../engine/ops/kv-cache.ts";
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
