import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../root.ts";
import { smartResize } from "./smartResize.ts";

interface Case {
  h: number;
  w: number;
  factor: number;
  min_pixels: number;
  max_pixels: number;
  out: [h: number, w: number] | null;
}

const path = join(packageRoot, "test-fixtures", "preproc", "cases.json");
const { smart_resize: cases } = JSON.parse(readFileSync(path, "utf8")) as { smart_resize: Case[] };

test.each(cases)("$w × $h in steps of $factor, $min_pixels to $max_pixels", ({ out, h, w, ...c }) => {
  const size = () =>
    smartResize(
      { height: h, width: w },
      { factor: c.factor, minPixels: c.min_pixels, maxPixels: c.max_pixels },
    );
  if (out) expect(size()).toEqual({ height: out[0], width: out[1] });
  else expect(size).toThrow(`${w} × ${h} pixels is more than 200 times`);
});

test("the table has refusals, and halves that ordinary rounding would take up", () => {
  expect(cases.some(({ out }) => out === null)).toBe(true);
  const half = cases.filter(({ h, w, factor }) => [h, w].some((side) => (side / factor) % 2 === 0.5));
  expect(half.length).toBeGreaterThan(0);
  expect(smartResize({ height: 80, width: 1120 }, { factor: 32, minPixels: 1, maxPixels: 1e9 })).toEqual({
    height: 64, // 2.5 → 2
    width: 1120,
  });
});
