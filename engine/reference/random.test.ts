import { expect, test } from "vitest";
import { philox4x32, uniform } from "./random.ts";

type Words4 = [number, number, number, number];

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
test.each<[Words4, [number, number], Words4]>([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
])("philox4x32-10 of %j, key %j", (counter, key, want) => {
  expect(philox4x32(counter, key)).toEqual(want);
});

test("uniform spreads evenly over [0, 1) and along steps", () => {
  const bins = new Array<number>(20).fill(0);
  const n = 20_000;
  let product = 0;
  for (let step = 0; step < n; step++) {
    const u = uniform(7, step);
    expect(u >= 0 && u < 1).toBe(true);
    bins[Math.floor(u * 20)]! += 1;
    product += (u - 0.5) * (uniform(7, step + 1) - 0.5);
  }
  const chi2 = bins.reduce((sum, count) => sum + (count - n / 20) ** 2 / (n / 20), 0);
  expect(chi2).toBeLessThan(36.2); // 1 % quantile, 19 degrees of freedom
  expect(Math.abs(product / n)).toBeLessThan(0.002);
});

test("a number depends on seed and step alone, and on every word of them", () => {
  const seeds = [0, 1, -1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER];
  const steps = [0, 1, 2 ** 32, 2 ** 33];
  const all = seeds.flatMap((seed) => steps.map((step) => uniform(seed, step)));
  expect(new Set(all).size).toBe(all.length);
  expect(uniform(-1, 3)).toBe(uniform(-1, 3));
});
