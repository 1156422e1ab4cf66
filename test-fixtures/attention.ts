// Inputs of attention tests: seeded values, and a cache whose unused rows hold what must never be read.
import type { Gpu } from "../engine/gpu/adapter.ts";
import { free, permanent, type Tensor } from "../engine/gpu/tensor.ts";
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
