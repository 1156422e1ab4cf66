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

/** Rows as shaders/quantise_rows leaves them: of each 32 values max |x| / 127 times an integer.   x: [T, K]   → [T, K]. */
export function inBytes(x: Float32Array): Float32Array {
  const y = new Float32Array(x.length);
  for (let block = 0; block < x.length; block += 32) {
    const values = x.subarray(block, block + 32);
    const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    const d = Math.fround(most / 127);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    values.forEach((value, i) => {
      y[block + i] = d * toEven(Math.fround(value * inverse));
    });
  }
  return y;
}

function toEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest === 0.5) return down % 2 === 0 ? down : down + 1;
  return rest < 0.5 ? down : down + 1;
}
