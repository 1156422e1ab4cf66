// The _K types: 256 values in groups, each group fitted alone (fit.ts), then the groups' scales rounded to multiples
// of one f16. What that rounding costs is won back by trying the neighbouring multiples and rounding the codes anew.
import { f16ToNumber, numberToF16 } from "../halves.ts";
import type { Block, BlockFormat } from "../blocks/format.ts";
import { clamped, fitCentred, fitRange, type Group, type Search } from "./fit.ts";

/** How a type's scales are rounded: scale and minimum of a group are 0 … limit, or scales are −limit … limit − 1. */
export interface SuperSettings extends Search {
  readonly limit: number;
}

interface Scratch {
  readonly groups: readonly Group[];
  readonly scales: Float64Array;
  readonly mins: Float64Array;
}

/** A quantiser of Q2_K, Q4_K and Q5_K: value = d · scale · code − dmin · minimum. */
export function rangedQuantiser(format: BlockFormat, settings: SuperSettings) {
  const scratch = scratchOf(format);
  const most = 2 ** format.bits - 1;
  return (x: Float32Array, first: number, block: Block): void => {
    split(x, first, scratch);
    for (const [g, group] of scratch.groups.entries()) {
      const fit = fitRange(group, most, settings);
      scratch.scales[g] = fit.scale;
      scratch.mins[g] = -fit.min;
    }
    block.d = numberToF16(largest(scratch.scales) / settings.limit);
    block.dmin = numberToF16(largest(scratch.mins) / settings.limit);
    const [d, dmin] = [f16ToNumber(block.d), f16ToNumber(block.dmin)];
    for (const [g, group] of scratch.groups.entries()) {
      const near = {
        scale: multiple(scratch.scales[g]!, d, 0, settings.limit),
        minimum: multiple(scratch.mins[g]!, dmin, 0, settings.limit),
      };
      const { scale, minimum } = nearby(group, most, settings.limit, d, dmin, near);
      block.scales[g] = scale;
      block.mins[g] = minimum;
      writeCodes(group, d * scale, dmin * minimum, 0, most, block.codes, g * format.group);
    }
  };
}

/** A quantiser of Q3_K and Q6_K: value = d · scale · (code − zero). */
export function centredQuantiser(format: BlockFormat, settings: SuperSettings) {
  const scratch = scratchOf(format);
  const { zero } = format;
  return (x: Float32Array, first: number, block: Block): void => {
    split(x, first, scratch);
    for (const [g, group] of scratch.groups.entries()) scratch.scales[g] = fitCentred(group, zero, settings);
    block.d = numberToF16(-largest(scratch.scales) / settings.limit);
    const d = f16ToNumber(block.d);
    for (const [g, group] of scratch.groups.entries()) {
      const near = multiple(scratch.scales[g]!, d, -settings.limit, settings.limit - 1);
      const scale = nearbyScale(group, zero, settings.limit, d, near);
      block.scales[g] = scale;
      writeCodes(group, d * scale, 0, -zero, zero - 1, block.codes, g * format.group);
    }
  };
}

function scratchOf({ values, group }: BlockFormat): Scratch {
  const count = values / group;
  const groups = Array.from({ length: count }, () => {
    return { x: new Float64Array(group), weights: new Float64Array(group) };
  });
  return { groups, scales: new Float64Array(count), mins: new Float64Array(count) };
}

/** Weights: large values count more, and none counts little. */
function split(x: Float32Array, first: number, { groups }: Scratch): void {
  let at = first;
  for (const group of groups) {
    let squares = 0;
    for (let i = 0; i < group.x.length; i++) {
      const value = x[at++]!;
      group.x[i] = value;
      squares += value * value;
    }
    const rms = Math.sqrt(squares / group.x.length);
    for (let i = 0; i < group.x.length; i++) group.weights[i] = rms + Math.abs(group.x[i]!);
  }
}

/** The value of the largest magnitude, with its sign. */
function largest(values: Float64Array): number {
  let found = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(found)) found = value;
  return found;
}

function multiple(value: number, unit: number, least: number, most: number): number {
  return unit === 0 ? 0 : clamped(value / unit, least, most);
}

/** Steps of (scale, minimum) that are tried. */
const steps = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
] as const;

interface Multiples {
  scale: number;
  minimum: number;
}

/** The best of a pair of multiples and its four neighbours. */
function nearby(
  group: Group,
  most: number,
  limit: number,
  d: number,
  dmin: number,
  near: Multiples,
): Multiples {
  let best = near;
  let bestError = errorOf(group, d * near.scale, dmin * near.minimum, 0, most);
  for (const [more, deeper] of steps) {
    const scale = near.scale + more;
    const minimum = near.minimum + deeper;
    if (scale < 0 || minimum < 0 || scale > limit || minimum > limit) continue;
    const error = errorOf(group, d * scale, dmin * minimum, 0, most);
    if (!(error < bestError)) continue;
    bestError = error;
    best = { scale, minimum };
  }
  return best;
}

function nearbyScale(group: Group, zero: number, limit: number, d: number, near: number): number {
  let best = near;
  let bestError = Infinity;
  for (let scale = Math.max(-limit, near - 1); scale <= Math.min(limit - 1, near + 1); scale++) {
    const error = errorOf(group, d * scale, 0, -zero, zero - 1);
    if (!(error < bestError)) continue;
    bestError = error;
    best = scale;
  }
  return best;
}

function errorOf({ x, weights }: Group, scale: number, minus: number, least: number, most: number): number {
  const inverse = scale === 0 ? 0 : 1 / scale;
  let error = 0;
  for (let i = 0; i < x.length; i++) {
    const code = clamped((x[i]! + minus) * inverse, least, most);
    const off = scale * code - minus - x[i]!;
    error += weights[i]! * off * off;
  }
  return error;
}

function writeCodes(
  { x }: Group,
  scale: number,
  minus: number,
  least: number,
  most: number,
  codes: Uint8Array,
  first: number,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = 0; i < x.length; i++) {
    codes[first + i] = clamped((x[i]! + minus) * inverse, least, most) - least;
  }
}
