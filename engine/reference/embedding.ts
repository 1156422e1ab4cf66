// Last-token pooling, as sentence-transformers does it: the row of the last token, of unit length.

/**
 * e = x[T−1, 0…D−1] / ‖x[T−1, 0…D−1]‖   x: [T, H], behind the last norm   e: [D], D ≤ H
 * The zero row stays what it is.
 */
export function lastTokenEmbedding(x: ArrayLike<number>, T: number, H: number, D = H): number[] {
  const row = Array.from({ length: D }, (_, i) => x[(T - 1) * H + i]!);
  let squares = 0;
  for (const value of row) squares += value * value;
  return squares === 0 ? row : row.map((value) => value / Math.sqrt(squares));
}
