/** The middle one, of an even number the upper of the middle two. `values`: at least one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
