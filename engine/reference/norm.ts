/** y = x / sqrt(mean(x²) + eps) · (offset + w), row by row.   x: [T, C]   w: [C]   → [T, C]. */
export function rmsNorm(
  x: Float32Array,
  w: Float32Array,
  { T, C, eps, offset }: { T: number; C: number; eps: number; offset: 0 | 1 },
): Float32Array {
  const y = new Float32Array(T * C);
  for (let t = 0; t < T; t++) {
    let squares = 0;
    for (let c = 0; c < C; c++) squares += x[t * C + c]! ** 2;
    const rms = Math.sqrt(squares / C + eps);
    for (let c = 0; c < C; c++) y[t * C + c] = (x[t * C + c]! / rms) * (offset + w[c]!);
  }
  return y;
}
