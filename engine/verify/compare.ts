// Pure figures: how far one array of values is from another.

export interface Difference {
  maxAbs: number;
  meanAbs: number;
  /** Index of the worst element. */
  worst: number;
  /** Cosine of the angle between the two, as vectors. */
  cosine: number;
  /** Root mean square of the difference over the standard deviation of the reference. */
  relativeRms: number;
}

/** NaN anywhere in `actual` makes every figure NaN or infinite, so no bound passes. */
export function difference(actual: Float32Array, expected: Float32Array): Difference {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values against ${expected.length}`);
  let maxAbs = 0;
  let worst = 0;
  let sumAbs = 0;
  let sumSquares = 0;
  let dot = 0;
  let lengthA = 0;
  let lengthE = 0;
  let sumE = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const a = actual[i]!;
    const e = expected[i]!;
    const d = Math.abs(a - e);
    if (!(d <= maxAbs)) {
      maxAbs = Number.isNaN(d) ? Infinity : d;
      worst = i;
    }
    sumAbs += d;
    sumSquares += d * d;
    dot += a * e;
    lengthA += a * a;
    lengthE += e * e;
    sumE += e;
  }
  const n = expected.length;
  const deviation = Math.sqrt(Math.max(0, lengthE / n - (sumE / n) ** 2));
  return {
    maxAbs,
    meanAbs: sumAbs / n,
    worst,
    cosine: dot / Math.sqrt(lengthA * lengthE),
    relativeRms: Math.sqrt(sumSquares / n) / deviation,
  };
}

/** Index of the largest value; the lowest index wins ties. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) if (values[i]! > values[best]!) best = i;
  return best;
}

/** At how many of the rows [rows, width] the largest value has the same index. */
export function argmaxAgreement(actual: Float32Array, expected: Float32Array, width: number): number {
  let agree = 0;
  for (let at = 0; at < expected.length; at += width) {
    const same = argmax(actual.subarray(at, at + width)) === argmax(expected.subarray(at, at + width));
    agree += same ? 1 : 0;
  }
  return agree;
}

export interface GreedyAgreement {
  /** Tokens equal before the first difference. */
  agreed: number;
  total: number;
  /** At the first difference: by how much the reference preferred its own token. */
  gap: number | undefined;
}

/** Compares greedy continuations; `logits` are the reference's, one row a step. */
export function greedyAgreement(
  actual: readonly number[],
  expected: readonly number[],
  logits: Float32Array,
): GreedyAgreement {
  const width = logits.length / expected.length;
  const agreed = expected.findIndex((id, i) => actual[i] !== id);
  if (agreed < 0) return { agreed: expected.length, total: expected.length, gap: undefined };
  const row = logits.subarray(agreed * width, (agreed + 1) * width);
  const chosen = actual[agreed];
  const gap = chosen === undefined ? Infinity : row[argmax(row)]! - row[chosen]!;
  return { agreed, total: expected.length, gap };
}
