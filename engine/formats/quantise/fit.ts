// The best scale for a group of values, by search: for each of a few trial scales the codes follow by rounding; for
// those codes the best scale (and minimum) are a weighted least squares fit, whose error is known without a second
// pass; the best trial is then polished by rounding and fitting again. Everything is f64 and of fixed order.

/** Codes are in `codes` from `first` on; value ≈ scale · code + min, with min ≤ 0. */
export interface Fit {
  scale: number;
  min: number;
}

/** The trials: how many steps more (or, below 0, fewer) than the codes have the range is divided into. */
export interface Search {
  readonly trials: readonly number[];
  readonly polish: number;
}

/** Values of one group with their weights: Σ weights · (value − approximation)² is to be small. */
export interface Group {
  readonly x: Float64Array;
  readonly weights: Float64Array;
}

/** scale · code + min, code 0 … most, min ≤ 0 ≤ scale. */
export function fitRange({ x, weights }: Group, most: number, search: Search): Fit {
  const range = rangeOf(x);
  const span = range.max - range.min;
  if (span <= 0) return { scale: 0, min: range.min };
  const totals = totalsOf(x, weights);
  let best: Fit = { scale: span / most, min: range.min };
  let bestError = Infinity;
  const consider = (inverse: number, from: number) => {
    const { fit, error } = solveRange(x, weights, totals, most, inverse, from);
    if (!(error < bestError)) return false;
    best = fit;
    bestError = error;
    return true;
  };
  for (const trial of search.trials) consider((most + trial) / span, range.min);
  for (let i = 0; i < search.polish && best.scale > 0; i++) {
    if (!consider(1 / best.scale, best.min)) break;
  }
  return best;
}

interface Totals {
  w: number;
  wx: number;
  wxx: number;
}

function totalsOf(x: Float64Array, weights: Float64Array): Totals {
  const totals = { w: 0, wx: 0, wxx: 0 };
  for (let i = 0; i < x.length; i++) {
    const wx = weights[i]! * x[i]!;
    totals.w += weights[i]!;
    totals.wx += wx;
    totals.wxx += wx * x[i]!;
  }
  return totals;
}

function rangeOf(x: Float64Array): { min: number; max: number } {
  let min = 0;
  let max = -Infinity;
  for (const value of x) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

/** Codes of a trial, and the scale and minimum that suit them best. */
function solveRange(
  x: Float64Array,
  weights: Float64Array,
  { w, wx, wxx }: Totals,
  most: number,
  inverse: number,
  from: number,
): { fit: Fit; error: number } {
  let wc = 0;
  let wcc = 0;
  let wxc = 0;
  for (let i = 0; i < x.length; i++) {
    const code = clamped((x[i]! - from) * inverse, 0, most);
    const weighted = weights[i]! * code;
    wc += weighted;
    wcc += weighted * code;
    wxc += weighted * x[i]!;
  }
  const determinant = w * wcc - wc * wc;
  const scale = (w * wxc - wx * wc) / determinant;
  const min = (wcc * wx - wc * wxc) / determinant;
  // Where all codes are equal it is 0 but for rounding, and the quotients are of rounding errors. Else it is more than
  // a millionth of this: one of 32 codes differs by 1 from 31.
  if (determinant > 1e-9 * w * wcc && min <= 0)
    return { fit: { scale, min }, error: wxx - scale * wxc - min * wx };
  if (!(wcc > 0)) return { fit: { scale: 0, min: 0 }, error: wxx };
  return { fit: { scale: wxc / wcc, min: 0 }, error: wxx - (wxc * wxc) / wcc };
}

/** scale · code, code −limit … limit − 1; the scale may be negative, so that the largest magnitude can be −limit. */
export function fitCentred({ x, weights }: Group, limit: number, search: Search): number {
  let largest = 0;
  for (const value of x) if (Math.abs(value) > Math.abs(largest)) largest = value;
  if (largest === 0) return 0;
  let best = 0;
  let bestGain = 0;
  const consider = (inverse: number) => {
    let wxc = 0;
    let wcc = 0;
    for (let i = 0; i < x.length; i++) {
      const code = clamped(x[i]! * inverse, -limit, limit - 1);
      const weighted = weights[i]! * code;
      wxc += weighted * x[i]!;
      wcc += weighted * code;
    }
    const gain = wcc > 0 ? (wxc * wxc) / wcc : 0; // the error is Σ w x² less this
    if (!(gain > bestGain)) return false;
    best = wxc / wcc;
    bestGain = gain;
    return true;
  };
  for (const trial of search.trials) consider(-(limit + trial) / largest);
  for (let i = 0; i < search.polish && best !== 0; i++) if (!consider(1 / best)) break;
  return best;
}

/** The nearest integer within bounds; halves go up. */
export function clamped(value: number, least: number, most: number): number {
  const code = Math.floor(value + 0.5);
  return code < least ? least : code > most ? most : code;
}
