// Where a plot's values come to lie. Pure.

import type { Point } from "./history.ts";

/** The least of 1, 2, 5, 10, 20 … that is not below; 1 for nothing. */
export function niceTop(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  // Past the last step, rounding may leave a value a hair above 10 · power.
  return power * ([1, 2, 5].find((step) => step * power >= value * (1 - 1e-9)) ?? 10);
}

export interface Frame {
  /** Date.now() at the right edge. */
  now: number;
  /** ms from edge to edge. */
  span: number;
  /** The value at the upper edge. */
  top: number;
}

/** Places in a unit square, x to the right and y downwards, in runs without a gap. */
export function runs(points: readonly Point[], { now, span, top }: Frame): [x: number, y: number][][] {
  const all: [number, number][][] = [[]];
  for (const { at, value } of points) {
    const x = 1 - (now - at) / span;
    if (value === undefined) all.push([]);
    else if (x >= 0) all.at(-1)!.push([x, 1 - Math.min(1, value / top)]);
  }
  return all.filter((run) => run.length > 0);
}

/** The point nearest to a place between the edges, 0…1. */
export function nearest(points: readonly Point[], x: number, { now, span }: Frame): Point | undefined {
  const at = now - (1 - x) * span;
  const there = points.filter(({ value }) => value !== undefined);
  return there.toSorted((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0];
}

/** Parts of a whole as shares of it; what is more than the whole stretches it. */
export function shares(parts: readonly number[], whole: number): number[] {
  const total = Math.max(
    whole,
    parts.reduce((sum, part) => sum + part, 0),
  );
  return parts.map((part) => (total > 0 ? part / total : 0));
}
