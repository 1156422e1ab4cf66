// Rows in another order.

/**
 * GGUF files of Llama have the rows of each head as pairs: row 2i is row i of the head, row 2i + 1 is row i + D/2.
 * Returns them as they were: first halves, then second halves.   rows: whole heads of D rows
 */
export function inHalves(
  rows: Uint8Array<ArrayBuffer>,
  rowBytes: number,
  D: number,
): Uint8Array<ArrayBuffer> {
  return reordered(rows, rowBytes, (row) => {
    const within = row % D;
    return row - within + (within < D / 2 ? 2 * within : 2 * (within - D / 2) + 1);
  });
}

/** The inverse: as GGUF files have them. */
export function inPairs(rows: Uint8Array<ArrayBuffer>, rowBytes: number, D: number): Uint8Array<ArrayBuffer> {
  return reordered(rows, rowBytes, (row) => {
    const within = row % D;
    return row - within + (within >> 1) + (within & 1) * (D / 2);
  });
}

/** Row r is row `from(r)` of what was given. */
export function reordered(
  rows: Uint8Array<ArrayBuffer>,
  rowBytes: number,
  from: (row: number) => number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(rows.length);
  for (let row = 0; row * rowBytes < rows.length; row++) {
    const at = from(row) * rowBytes;
    out.set(rows.subarray(at, at + rowBytes), row * rowBytes);
  }
  return out;
}
