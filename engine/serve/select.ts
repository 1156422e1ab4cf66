// Finding the head of an order without sorting: a vocabulary has up to 248k logits, and sorting them takes longer
// than a small model's step. The order is always value descending, then index ascending.

/** Everything above `value`, and of those equal to it the ones up to `index`. */
export interface Cut {
  value: number;
  index: number;
}

const BINS = 256;
const SMALL = 32;

/**
 * The shortest head of `candidates` in that order whose measures add up to `limit`.
 *   values, measure: [V]   candidates: [n] indices, ascending   measure undefined counts 1 for each
 * Undefined where the whole does not reach the limit: keep all.
 * Values are spread over 256 bins and the bin that crosses the limit is spread again until it is small.
 */
export function headOf(
  values: Float32Array,
  candidates: Int32Array,
  measure: Float64Array | undefined,
  limit: number,
): Cut | undefined {
  let active = candidates;
  let reached = 0;
  const sums = new Float64Array(BINS);
  for (;;) {
    const [low, high] = range(values, active);
    if (active.length <= SMALL || low === high)
      return walk(values, inOrder(values, active, low === high), measure, limit - reached);
    const scale = BINS / (high - low);
    sums.fill(0);
    for (let n = 0; n < active.length; n++) {
      const i = active[n]!;
      sums[binOf(values[i]!, high, scale)]! += measure ? measure[i]! : 1;
    }
    let bin = 0;
    while (bin < BINS && reached + sums[bin]! < limit) reached += sums[bin++]!;
    if (bin === BINS) return undefined;
    const crossing = bin;
    active = active.filter((i) => binOf(values[i]!, high, scale) === crossing);
  }
}

/** Monotone in the value, so a bin holds nothing that belongs above an earlier one. */
function binOf(value: number, high: number, scale: number): number {
  return Math.min(BINS - 1, Math.floor((high - value) * scale));
}

function range(values: Float32Array, indices: Int32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let n = 0; n < indices.length; n++) {
    const value = values[indices[n]!]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function inOrder(values: Float32Array, indices: Int32Array, equal: boolean): Int32Array {
  return equal ? indices : indices.slice().sort((a, b) => values[b]! - values[a]! || a - b);
}

function walk(
  values: Float32Array,
  ordered: Int32Array,
  measure: Float64Array | undefined,
  limit: number,
): Cut | undefined {
  let sum = 0;
  for (const i of ordered) {
    sum += measure ? measure[i]! : 1;
    if (sum >= limit) return { value: values[i]!, index: i };
  }
  return undefined;
}

/** The candidates inside a cut, in place at the front of their array. */
export function within(values: Float32Array, candidates: Int32Array, cut: Cut | undefined): Int32Array {
  if (!cut) return candidates;
  let count = 0;
  for (const i of candidates) {
    const value = values[i]!;
    if (value > cut.value || (value === cut.value && i <= cut.index)) candidates[count++] = i;
  }
  return candidates.subarray(0, count);
}

/** The n largest values as indices, largest first.   For small n (a list of candidates to report). */
export function largest(values: Float32Array, n: number): number[] {
  const best: number[] = [];
  let floor = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (best.length === n && value <= floor) continue;
    let at = best.length;
    while (at > 0 && values[best[at - 1]!]! < value) at--;
    best.splice(at, 0, i);
    if (best.length > n) best.pop();
    floor = values[best.at(-1) ?? i]!;
  }
  return best;
}
