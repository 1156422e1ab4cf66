// The twin of ops/moe.ts.

export interface Routed {
  ids: Uint32Array;
  shares: Float32Array;
}

/** The `used` largest of each row, equals by their index, and exp(logit) of each over the sum of those, or of all. */
export function route(
  logits: Float32Array,
  { T, E, used, normalised }: { T: number; E: number; used: number; normalised: boolean },
): Routed {
  const ids = new Uint32Array(T * used);
  const shares = new Float32Array(T * used);
  for (let t = 0; t < T; t++) {
    const row = logits.subarray(t * E, (t + 1) * E);
    const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b);
    const weight = (e: number) => Math.exp(row[e]! - row[order[0]!]!);
    const chosen = order.slice(0, used);
    const total = (normalised ? chosen : order).reduce((sum, e) => sum + weight(e), 0);
    for (const [j, e] of chosen.entries()) {
      ids[t * used + j] = e;
      shares[t * used + j] = weight(e) / total;
    }
  }
  return { ids, shares };
}

/** Of every pair of a token and an expert: down(silu(gate(x)) · up(x)).   up: [E, 2I, K]   down: [E, N, I]   → [T · used, N]. */
export function experts(
  x: Float32Array,
  up: Float32Array,
  down: Float32Array,
  ids: Uint32Array,
  { K, I, N, used }: { K: number; I: number; N: number; used: number },
): Float32Array {
  const y = new Float32Array(ids.length * N);
  for (const [pair, e] of ids.entries()) {
    const row = x.subarray(Math.floor(pair / used) * K, (Math.floor(pair / used) + 1) * K);
    const hidden = Array.from({ length: I }, (_, i) => {
      const [gate, value] = [0, 1].map((odd) => dot(row, up.subarray((e * 2 * I + 2 * i + odd) * K)));
      return (gate! / (1 + Math.exp(-gate!))) * value!;
    });
    for (let n = 0; n < N; n++) y[pair * N + n] = dot(hidden, down.subarray((e * N + n) * I));
  }
  return y;
}

/** y[t] = x[t] + Σj shares[t,j] · parts[t,j] (+ sigmoid(gate[t]) · everyone[t]). */
export function mix(
  x: Float32Array,
  parts: Float32Array,
  shares: Float32Array,
  { T, C, used }: { T: number; C: number; used: number },
  shared?: { gate: Float32Array; everyone: Float32Array },
): Float32Array {
  return x
    .map((value, i) => {
      const [t, c] = [Math.floor(i / C), i % C];
      let sum = value;
      for (let j = 0; j < used; j++) sum += shares[t * used + j]! * parts[(t * used + j) * C + c]!;
      return shared ? sum + shared.everyone[i]! / (1 + Math.exp(-shared.gate[t]!)) : sum;
    })
    .subarray(0, T * C);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}
