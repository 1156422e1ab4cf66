// The order of tiles is the one that shaders/reads/tiles.wgsl reads, and tiles suit the cores.
import { expect, test } from "vitest";
import type { Gpu } from "./adapter.ts";
import { fitsTiles, gatheredRows, likesTiles, regionsOf, tileLayout } from "./tiles.ts";

test("a tile is its rows' first runs, then their second ones", () => {
  const layout = tileLayout("bf16", 512, 64, 2); // two runs of 32 quads, two tiles
  const whole = regionsOf(0, 64, layout);
  expect(whole.map(({ at, quads }) => [at, quads])).toEqual([[0, 64 * 64]]);
  expect(whole[0]!.runs.map(({ from, count, words }) => [from, count, words])).toEqual([
    [0, 32, 128],
    [128, 32, 128],
    [32 * 256, 32, 128],
    [32 * 256 + 128, 32, 128],
  ]);
});

test("some rows of a tile are a part of each run's", () => {
  const layout = tileLayout("bf16", 512, 64, 2);
  const part = regionsOf(30, 5, layout); // two rows of the first tile, three of the second
  expect(part.map(({ at, quads }) => [at, quads])).toEqual([
    [30 * 32, 2 * 32],
    [32 * 32 + 30 * 32, 2 * 32 + 3 * 32], // the first tile's end, and the second one's beginning
    [64 * 32 + 32 * 32, 3 * 32],
  ]);
});

test("eight rows of blocks lie side by side, quad by quad, and a few of them are a part of each", () => {
  const layout = tileLayout("q4_0", 256, 64, 2); // 8 quads of codes, one of scales; two tiles
  const [codes, scales, ...more] = regionsOf(16, 8, layout);
  expect(more).toEqual([]);
  expect(codes).toEqual({
    at: 16 * 8,
    quads: 64,
    runs: [{ from: 0, stride: 36, count: 8, words: 32, side: 8 }],
  });
  expect(scales).toEqual({
    at: 32 * 8 + 16,
    quads: 8,
    runs: [{ from: 32, stride: 36, count: 8, words: 4, side: 8 }],
  });
  const few = regionsOf(17, 3, layout);
  const quads = Array.from({ length: 8 }, (_, quad) => [16 * 8 + 8 * quad + 1, 3]);
  expect(few.map((region) => [region.at, region.quads])).toEqual([...quads, [32 * 8 + 17, 3]]);
});

test("every plane has runs of its own: low bits, high bits, scales", () => {
  const { stretches, rowBytes } = tileLayout("q6_k", 1024, 1024, 2);
  expect(stretches.map(({ from, end, run }) => [from, end, run])).toEqual([
    [0, 32, 8],
    [32, 48, 4],
    [48, 53, 1],
  ]);
  expect(rowBytes).toBe(16 * 53);
});

test.each([
  [151_936, 2, 512],
  [1024, 2, 256], // four for two cores
  [1024, 8, 64],
  [1150, 2, 128], // 256 would waste a ninth
  [300, 2, 32],
  [3, 2, 32],
])("%i rows for %i cores are in tiles of %i", (rows, cores, height) => {
  expect(tileLayout("bf16", 1024, rows, cores).height).toBe(height);
});

test.each([
  ["16 tiles of a MiB", 2048, 2, 8192],
  ["14 tiles, which is less than 16 MiB", 2304, 2, 14 * 512],
  ["one core more would have too few", 2048, 8, 8192],
  ["too few for the cores", 2048, 9, Infinity],
  ["rows that are too long", 16_384, 2, Infinity],
])("rows that are written at once: %s", (_, rowBytes, cores, rows) => {
  expect(gatheredRows(rowBytes, cores)).toBe(rows);
});

test("only llvmpipe with subgroups of eight keeps weights in tiles, and only rows of whole quads", () => {
  const gpu = (name: string, width: number) =>
    ({
      report: { kind: "software", name },
      has: { subgroups: true },
      subgroupSize: { min: width, max: width, width },
    }) as unknown as Gpu;
  expect(likesTiles(gpu("llvmpipe (LLVM 15.0.6, 256 bits)", 8))).toBe(true);
  expect(likesTiles(gpu("llvmpipe (LLVM 15.0.6, 512 bits)", 16))).toBe(false);
  expect(likesTiles(gpu("SwiftShader Device", 4))).toBe(false);
  expect([80, 88].map(fitsTiles)).toEqual([true, false]);
});
