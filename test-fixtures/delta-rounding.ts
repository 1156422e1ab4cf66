// The delta rule by chunks of 32 with operands of its products rounded: what devices' matrices make of it.
import type { DeltaHead } from "../engine/reference/delta.ts";

type Round = (value: number) => number;

/** How the operands are rounded. */
export interface Rounding {
  /** Normed keys, in all products. */
  readonly keys: Round;
  /** Keys where they are recalled, if these are others than those written. */
  readonly recalled?: Round;
  /** Normed queries. */
  readonly queries: Round;
  /** S against keys and queries. */
  readonly state: Round;
  /** U, decayed to the chunk's end, on its way into S. */
  readonly written: Round;
  /** U on its way into the output. */
  readonly read: Round;
  /** P, unscaled. */
  readonly inner: Round;
}

/** To n significant bits, of two neighbours the even one. */
export function toBits(n: number): Round {
  return (value) => {
    if (value === 0) return 0;
    const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - n + 1);
    const down = Math.floor(value / unit);
    const rest = value / unit - down;
    return unit * (rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down);
  };
}

const f16 = toBits(11);
const all = (round: Round): Rounding => ({
  ...{ keys: round, queries: round, state: round, written: round, read: round, inner: round },
});

/** In halves, hi + lo. */
const inTwo: Round = (value) => f16(value) + f16(value - f16(value));

/** What delta_chunk_matrix and delta_scan_matrix do. */
export const asKernels: Rounding = { ...all(f16), read: inTwo };

/** And what they do not. */
export const otherRoundings = {
  none: all((value) => value),
  "U in one half": all(f16),
  "all in two halves but keys and queries": { ...all(inTwo), keys: f16, queries: f16 },
  "in bf16": all(toBits(8)),
  "keys recalled in bf16, written in f16": { ...asKernels, recalled: toBits(8) },
} satisfies Record<string, Rounding>;

/** The rule with rounded operands; A, its inverse, and all sums are exact. */
export function roundedRule(r: Rounding): (head: DeltaHead, S: Float64Array) => Float64Array[] {
  return (head, S) => {
    const o: Float64Array[] = [];
    for (let t = 0; t < head.k.length; t += 32) o.push(...roundedChunk(head, t, S, r));
    return o;
  };
}

function roundedChunk(head: DeltaHead, t: number, S: Float64Array, r: Rounding): Float64Array[] {
  const part = <X>(list: X[]) => list.slice(t, t + 32);
  const [v, beta, g] = [part(head.v), part(head.beta), part(head.g)];
  const [Dk, Dv] = [head.k[0]!.length, v[0]!.length];
  const decay = (after: number, to: number) => Math.exp(g.slice(after, to).reduce((sum, x) => sum + x, 0));
  const scale = Math.sqrt(Dk);
  const k = part(head.k).map((row) => row.map(r.keys));
  const recalled = r.recalled ? part(head.k).map((row) => row.map(r.recalled!)) : k;
  const q = part(head.q).map((row) => row.map((x) => r.queries(scale * x)));
  const rounded = S.map(r.state);
  const U = v.map((row, i) => axpy(-decay(0, i + 1), times(recalled[i]!, rounded, Dv), row));
  U.forEach((u, i) => {
    u.forEach((x, c) => (u[c] = beta[i]! * x));
    for (let j = 0; j < i; j++)
      u.set(axpy(-beta[i]! * dot(recalled[i]!, k[j]!) * decay(j + 1, i + 1), U[j]!, u));
  });
  const o = q.map((row, i) => {
    const y = times(row, rounded, Dv).map((x) => decay(0, i + 1) * x);
    for (let j = 0; j <= i; j++)
      y.set(axpy(r.inner(dot(row, k[j]!) * decay(j + 1, i + 1)), U[j]!.map(r.read), y));
    return y.map((x) => x / scale);
  });
  S.forEach((s, i) => (S[i] = decay(0, k.length) * s));
  U.forEach((u, j) => {
    const late = u.map((x) => r.written(decay(j + 1, k.length) * x));
    k[j]!.forEach((key, i) => S.set(axpy(key, late, S.subarray(i * Dv, (i + 1) * Dv)), i * Dv));
  });
  return o;
}

/** a·x + y */
function axpy(a: number, x: Float64Array, y: Float64Array): Float64Array {
  return y.map((value, i) => value + a * x[i]!);
}

/** xᵀ·S */
function times(x: Float64Array, S: Float64Array, Dv: number): Float64Array {
  const y = new Float64Array(Dv);
  x.forEach((value, i) => y.set(axpy(value, S.subarray(i * Dv, (i + 1) * Dv), y)));
  return y;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  a.forEach((value, i) => (sum += value * b[i]!));
  return sum;
}
