// The gated delta net as slow, obvious loops in f64: what every kernel of it is held against. Each value head keeps
// a matrix S [Dk, Dv]. One token: S ← e^g·S;  d = β(v − Sᵀk);  S ← S + k dᵀ;  o = Sᵀq.
import type { DeltaConfig } from "../ops/delta-state.ts";

/** What a sequence carries: the last three columns before the convolution [3, C], and S [Nv, Dk, Dv]. */
export interface DeltaTwinState {
  window: Float64Array;
  S: Float64Array;
}

/** The small weights of one layer. */
export interface DeltaTwinWeights {
  convWeight: ArrayLike<number>;
  A_log: ArrayLike<number>;
  dt_bias: ArrayLike<number>;
  norm: ArrayLike<number>;
  eps: number;
}

/** One value head's sequence, ready for the rule: q (normed and scaled) and k (normed) [T, Dk], v [T, Dv]. */
export interface DeltaHead {
  q: Float64Array[];
  k: Float64Array[];
  v: Float64Array[];
  beta: number[];
  g: number[];
}

export function deltaTwinState({ keyHeads, valueHeads, keyDim, valueDim }: DeltaConfig): DeltaTwinState {
  const C = 2 * keyHeads * keyDim + valueHeads * valueDim;
  return { window: new Float64Array(3 * C), S: new Float64Array(valueHeads * keyDim * valueDim) };
}

/** y[t,c] = silu(Σ_j w[c,j] · u[t−3+j,c]); the window stands before u and moves on.   u: [T, ≥ C]   y: [T, C] */
export function causalConv(
  u: ArrayLike<number>,
  width: number,
  weight: ArrayLike<number>,
  window: Float64Array,
): Float64Array {
  const C = window.length / 3;
  const T = u.length / width;
  const column = (t: number, c: number) => (t < 0 ? window[(t + 3) * C + c]! : u[t * width + c]!);
  const y = new Float64Array(T * C);
  for (let t = 0; t < T; t++) {
    for (let c = 0; c < C; c++) {
      let sum = 0;
      for (let j = 0; j < 4; j++) sum += weight[c * 4 + j]! * column(t - 3 + j, c);
      y[t * C + c] = silu(sum);
    }
  }
  const next = new Float64Array(3 * C);
  for (let j = 0; j < 3; j++) for (let c = 0; c < C; c++) next[j * C + c] = column(T - 3 + j, c);
  window.set(next);
  return y;
}

/** The heads of qkv [T, C] with their gates; value head h reads key head ⌊h / (Nv/Nk)⌋, or h mod Nk. */
export function deltaHeads(
  qkv: Float64Array,
  u: ArrayLike<number>,
  weights: DeltaTwinWeights,
  config: DeltaConfig,
): DeltaHead[] {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const C = 2 * keyHeads * keyDim + valueHeads * valueDim;
  const width = C + valueHeads * valueDim + 2 * valueHeads;
  const T = qkv.length / C;
  const slices = (first: number, size: number) =>
    Array.from({ length: T }, (_, t) => qkv.slice(t * C + first, t * C + first + size));
  return Array.from({ length: valueHeads }, (_, h) => {
    const keyHead = config.order === "tiled" ? h % keyHeads : Math.floor(h / (valueHeads / keyHeads));
    const gates = (first: number) => Array.from({ length: T }, (_, t) => u[t * width + first + h]!);
    return {
      q: slices(keyHead * keyDim, keyDim).map((q) => l2Norm(q).map((x) => x / Math.sqrt(keyDim))),
      k: slices((keyHeads + keyHead) * keyDim, keyDim).map(l2Norm),
      v: slices(2 * keyHeads * keyDim + h * valueDim, valueDim),
      beta: gates(width - 2 * valueHeads).map((b) => 1 / (1 + Math.exp(-b))),
      g: gates(width - valueHeads).map(
        (a) => -Math.exp(weights.A_log[h]!) * softplus(a + weights.dt_bias[h]!),
      ),
    };
  });
}

/** The rule, token by token. S [Dk, Dv] is updated in place; o: [T, Dv]. */
export function recurrentRule({ q, k, v, beta, g }: DeltaHead, S: Float64Array): Float64Array[] {
  return q.map((qt, t) => {
    const kt = k[t]!;
    const Dv = v[t]!.length;
    for (let i = 0; i < S.length; i++) S[i]! *= Math.exp(g[t]!);
    const d = v[t]!.map((value, j) => beta[t]! * (value - dotColumn(S, kt, j, Dv)));
    kt.forEach((key, i) => d.forEach((delta, j) => (S[i * Dv + j]! += key * delta)));
    return d.map((_, j) => dotColumn(S, qt, j, Dv));
  });
}

/** The same by chunks: U = M·β(V − e^G·K S) with M = (I + A)⁻¹, A = strict lower(β K Kᵀ ∘ D). */
export function chunkedRule(head: DeltaHead, S: Float64Array, chunk: number): Float64Array[] {
  const o: Float64Array[] = [];
  for (let t = 0; t < head.q.length; t += chunk) {
    const part = <X>(list: X[]) => list.slice(t, t + chunk);
    const { q, k, v, beta, g } = head;
    o.push(...oneChunk({ q: part(q), k: part(k), v: part(v), beta: part(beta), g: part(g) }, S));
  }
  return o;
}

function oneChunk({ q, k, v, beta, g }: DeltaHead, S: Float64Array): Float64Array[] {
  const [C, Dk, Dv] = [k.length, k[0]!.length, v[0]!.length];
  const decay = (from: number, to: number) => Math.exp(sum(g.slice(from, to))); // e^(g_from + … + g_(to−1))
  const U: Float64Array[] = [];
  for (let i = 0; i < C; i++) {
    const u = v[i]!.map((value, c) => beta[i]! * (value - decay(0, i + 1) * dotColumn(S, k[i]!, c, Dv)));
    for (let j = 0; j < i; j++) {
      const A = beta[i]! * dot(k[i]!, k[j]!) * decay(j + 1, i + 1);
      for (let c = 0; c < Dv; c++) u[c]! -= A * U[j]![c]!;
    }
    U.push(u);
  }
  const o = q.map((qi, i) => {
    const row = U[i]!.map((_, c) => decay(0, i + 1) * dotColumn(S, qi, c, Dv));
    for (let j = 0; j <= i; j++) {
      const P = dot(qi, k[j]!) * decay(j + 1, i + 1);
      for (let c = 0; c < Dv; c++) row[c]! += P * U[j]![c]!;
    }
    return row;
  });
  for (let r = 0; r < Dk; r++) {
    for (let c = 0; c < Dv; c++) {
      let entry = decay(0, C) * S[r * Dv + c]!;
      for (let j = 0; j < C; j++) entry += decay(j + 1, C) * k[j]![r]! * U[j]![c]!;
      S[r * Dv + c] = entry;
    }
  }
  return o;
}

/** y = o / rms(o) · w · silu(z), head by head.   o, y: [T, Nv·Dv]   z: columns C … of u */
export function gatedNorm(
  o: Float64Array,
  u: ArrayLike<number>,
  weights: DeltaTwinWeights,
  config: DeltaConfig,
): Float64Array {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const values = valueHeads * valueDim;
  const C = 2 * keyHeads * keyDim + values;
  const width = C + values + 2 * valueHeads;
  return o.map((value, index) => {
    const [t, c] = [Math.floor(index / values), index % values];
    const first = index - (c % valueDim);
    const squares = o.slice(first, first + valueDim).map((x) => x * x);
    const rms = Math.sqrt(sum(squares) / valueDim + weights.eps);
    return (value / rms) * weights.norm[c % valueDim]! * silu(u[t * width + C + c]!);
  });
}

export interface DeltaTwinResult {
  qkv: Float64Array;
  heads: DeltaHead[];
  /** Before the gated norm, [T, Nv·Dv]. */
  coreOut: Float64Array;
  y: Float64Array;
}

/** The whole layer between the projections, with every intermediate. u: [T, C + Nv·Dv + 2·Nv] = qkv | z | b | a */
export function deltaRule(
  u: ArrayLike<number>,
  weights: DeltaTwinWeights,
  config: DeltaConfig,
  state: DeltaTwinState,
  rule: (head: DeltaHead, S: Float64Array) => Float64Array[] = recurrentRule,
): DeltaTwinResult {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const width = 2 * keyHeads * keyDim + 2 * valueHeads * valueDim + 2 * valueHeads;
  const qkv = causalConv(u, width, weights.convWeight, state.window);
  const heads = deltaHeads(qkv, u, weights, config);
  const coreOut = new Float64Array((u.length / width) * valueHeads * valueDim);
  heads.forEach((head, h) => {
    const S = state.S.subarray(h * keyDim * valueDim, (h + 1) * keyDim * valueDim);
    rule(head, S).forEach((o, t) => coreOut.set(o, (t * valueHeads + h) * valueDim));
  });
  return { qkv, heads, coreOut, y: gatedNorm(coreOut, u, weights, config) };
}

/** log(1 + eˣ) without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function l2Norm(x: Float64Array): Float64Array {
  const scale = 1 / Math.sqrt(dot(x, x) + 1e-6);
  return x.map((value) => value * scale);
}

function dot(a: Float64Array, b: Float64Array): number {
  return sum(a.map((value, i) => value * b[i]!));
}

/** Column j of Sᵀ·x. */
function dotColumn(S: Float64Array, x: Float64Array, j: number, Dv: number): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += S[i * Dv + j]! * x[i]!;
  return total;
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}
