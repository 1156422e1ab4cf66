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

/** `bytes` of the first, of the second, …, and so on until their end. All of one length. */
export function byTurns(parts: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const length = parts[0]!.length;
  const out = new Uint8Array(parts.length * length);
  for (let from = 0, to = 0; from < length; from += bytes) {
    for (const part of parts) {
      out.set(part.subarray(from, from + bytes), to);
      to += bytes;
    }
  }
  return out;
}

/** Row r is row `from(r)` of what was given. */
function reordered(
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
