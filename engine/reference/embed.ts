/** y[t] = table[ids[t]], zeros for an id beyond the table.   ids: [T]   table: [N, C]   → [T, C]. */
export function embed(ids: ArrayLike<number>, table: Float32Array, N: number, C: number): Float32Array {
  const y = new Float32Array(ids.length * C);
  for (let t = 0; t < ids.length; t++) {
    const id = ids[t]!;
    for (let c = 0; c < C && id < N; c++) y[t * C + c] = table[id * C + c]!;
  }
  return y;
}
