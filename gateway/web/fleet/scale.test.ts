import { expect, test } from "vitest";
import { nearest, niceTop, runs, shares } from "./scale.ts";

test.each([
  [0, 1],
  [-3, 1],
  [Number.NaN, 1],
  [0.03, 0.05],
  [1, 1],
  [1.1, 2],
  [42, 50],
  [51, 100],
  [100, 100],
  [1001, 2000],
])("the top for %d is %d", (value, top) => {
  expect(niceTop(value)).toBeCloseTo(top, 10);
});

const frame = { now: 1000, span: 800, top: 4 };
const points = [
  { at: 100, value: 9 },
  { at: 200, value: 0 },
  { at: 600, value: 2 },
  { at: 700, value: undefined },
  { at: 1000, value: 8 },
];

test("points come to lie in the frame; a gap begins a new run; what is too old is left out", () => {
  expect(runs(points, frame)).toEqual([
    [
      [0, 1],
      [0.5, 0.5],
    ],
    [[1, 0]],
  ]);
  expect(runs([], frame)).toEqual([]);
});

test("the nearest point that has a value", () => {
  expect(nearest(points, 0.6, frame)).toBe(points[2]);
  expect(nearest(points, 0.95, frame)).toBe(points[4]);
  expect(nearest([], 0.5, frame)).toBeUndefined();
});

test("shares of a whole, which gives way", () => {
  expect(shares([1, 2], 4)).toEqual([0.25, 0.5]);
  expect(shares([3, 3], 4)).toEqual([0.5, 0.5]);
  expect(shares([0], 0)).toEqual([0]);
});
