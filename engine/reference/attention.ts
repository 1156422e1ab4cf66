// The slow twin of ops/qkv.ts and ops/attention.ts: plain loops over plain arrays, accumulating in f64.

/** Sizes of a call; T tokens of this run behind `past` cached ones. */
export interface AttentionShape {
  T: number;
  past: number;
  /** Nh, Nkv, D */
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Positions that a cache [Nkv, capacity, D] holds. */
  capacity: number;
}

export interface QkvInputs {
  /** Query heads are [D query | D gate]. */
  gate: boolean;
  qNorm?: Float32Array;
  kNorm?: Float32Array;
  eps: number;
  normOffset: number;
  rope: { table: Float32Array; dims: number; sections?: readonly [number, number, number] };
  /** [3, T] */
  positions: Uint32Array;
}

/** Returns q [T, Nh, D] and writes the caches k, v [Nkv, capacity, D] at past … past + T − 1. */
export function prepareQkv(
  qkv: Float32Array,
  shape: AttentionShape,
  inputs: QkvInputs,
  cache: { k: Float32Array; v: Float32Array },
): Float32Array {
  const { T, past, heads, kvHeads, headDim: D, capacity } = shape;
  const queryStride = inputs.gate ? 2 * D : D;
  const width = heads * queryStride + 2 * kvHeads * D;
  const q = new Float32Array(T * heads * D);
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < heads; h++) {
      const at = t * width + h * queryStride;
      const x = normed(qkv.subarray(at, at + D), inputs.qNorm, inputs);
      q.set(turned(x, t, T, inputs), (t * heads + h) * D);
    }
    for (let h = 0; h < kvHeads; h++) {
      const key = t * width + heads * queryStride + h * D;
      const value = key + kvHeads * D;
      const row = (h * capacity + past + t) * D;
      cache.k.set(turned(normed(qkv.subarray(key, key + D), inputs.kNorm, inputs), t, T, inputs), row);
      cache.v.set(qkv.subarray(value, value + D), row);
    }
  }
  return q;
}

function normed(x: Float32Array, weight: Float32Array | undefined, { eps, normOffset }: QkvInputs): number[] {
  if (!weight) return [...x];
  let squares = 0;
  for (const value of x) squares += value * value;
  const scale = 1 / Math.sqrt(squares / x.length + eps);
  return Array.from(x, (value, i) => value * scale * (normOffset + weight[i]!));
}

/** Rope at the position of token t; pairs (i, i + R/2). */
function turned(x: number[], t: number, T: number, { rope, positions }: QkvInputs): number[] {
  const half = rope.dims / 2;
  const y = [...x];
  for (let i = 0; i < half; i++) {
    const position = positions[axisOf(i, rope.sections) * T + t]!;
    const cos = rope.table[(position * half + i) * 2]!;
    const sin = rope.table[(position * half + i) * 2 + 1]!;
    y[i] = x[i]! * cos - x[i + half]! * sin;
    y[i + half] = x[i + half]! * cos + x[i]! * sin;
  }
  return y;
}

/** 0 time, 1 height, 2 width: interleaved t h w t h w …, until an axis has its share. */
export function axisOf(i: number, sections: readonly [number, number, number] | undefined): 0 | 1 | 2 {
  if (sections && i % 3 === 1 && i < 3 * sections[1]) return 1;
  if (sections && i % 3 === 2 && i < 3 * sections[2]) return 2;
  return 0;
}

/** q [T, Nh, D] against caches [Nkv, capacity, D] → [T, Nh·D]; `gate` is the packed projection with gate halves. */
export function attention(
  q: Float32Array,
  cache: { k: Float32Array; v: Float32Array },
  { T, past, heads, kvHeads, headDim: D, capacity }: AttentionShape,
  gate?: Float32Array,
): Float32Array {
  const y = new Float32Array(T * heads * D);
  const width = (2 * heads + 2 * kvHeads) * D;
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < heads; h++) {
      const first = Math.floor(h / (heads / kvHeads)) * capacity * D;
      const query = q.subarray((t * heads + h) * D, (t * heads + h + 1) * D);
      const weights = softmax(scores(query, cache.k, first, past + t + 1));
      for (let d = 0; d < D; d++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k]! * cache.v[first + k * D + d]!;
        const open = gate ? 1 / (1 + Math.exp(-gate[t * width + (2 * h + 1) * D + d]!)) : 1;
        y[(t * heads + h) * D + d] = sum * open;
      }
    }
  }
  return y;
}

function scores(query: Float32Array, keys: Float32Array, first: number, count: number): Float64Array {
  const D = query.length;
  return Float64Array.from({ length: count }, (_, k) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += query[d]! * keys[first + k * D + d]!;
    return sum / Math.sqrt(D);
  });
}

function softmax(x: Float64Array): Float64Array {
  const top = x.reduce((a, b) => Math.max(a, b));
  const p = x.map((value) => Math.exp(value - top));
  const sum = p.reduce((a, b) => a + b);
  return p.map((value) => value / sum);
}
