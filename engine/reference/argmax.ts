/** The index of the largest value, the lowest of equals; NaN never wins (0 if all are). */
export function argmax(values: ArrayLike<number>): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(values[i]!) && (best < 0 || values[i]! > values[best]!)) best = i;
  }
  return Math.max(best, 0);
}
