export interface LinearSizes {
  T: number;
  K: number;
  N: number;
}

/** y = x · Wᵀ (+ bias) (+ add).   x: [T, K]   W: [N, K]   bias: [N]   add: [T, N]   → [T, N]. */
export function linear(
  x: Float32Array,
  W: Float32Array,
  { T, K, N }: LinearSizes,
  { bias, add }: { bias?: Float32Array; add?: Float32Array } = {},
): Float32Array {
  const y = new Float32Array(T * N);
  for (let t = 0; t < T; t++) {
    for (let n = 0; n < N; n++) {
      let sum = (bias?.[n] ?? 0) + (add?.[t * N + n] ?? 0);
      for (let k = 0; k < K; k++) sum += x[t * K + k]! * W[n * K + k]!;
      y[t * N + n] = sum;
    }
  }
  return y;
}

/** y[t,i] = silu(u[t,2i]) · u[t,2i+1] with u = x · Wᵀ.   x: [T, K]   W: [N = 2I, K]   → [T, I]. */
export function swiglu(x: Float32Array, W: Float32Array, { T, K, N }: LinearSizes): Float32Array {
  const u = linear(x, W, { T, K, N });
  return Float32Array.from({ length: (T * N) / 2 }, (_, i) => silu(u[2 * i]!) * u[2 * i + 1]!);
}

function silu(value: number): number {
  return value / (1 + Math.exp(-value));
}
