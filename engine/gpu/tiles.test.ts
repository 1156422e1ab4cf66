// Rows go into tiles in any portions and come out as they were; and the order is the one that shaders/reads/tiles.wgsl
// reads.
import { expect, test } from "vitest";
import { untiled } from "../../test-fixtures/tiles.ts";
import type { Gpu } from "./adapter.ts";
import type { WeightFormat } from "./tensor.ts";
import {
  createTiles,
  fitsTiles,
  likesTiles,
  tiled,
  tileLayout,
  writeTiles,
  type TileLayout,
} from "./tiles.ts";

Object.assign(globalThis, { GPUTextureUsage: { STORAGE_BINDING: 8, COPY_DST: 2, COPY_SRC: 1 } });

/** A device whose textures are the bytes that were written to them. */
function fake() {
  const bytes: { held: Uint8Array } = { held: new Uint8Array() };
  const width = 4096 * 16;
  const device = {
    createTexture: ({ size }: { size: [number, number] }) => {
      bytes.held = new Uint8Array(16 * size[0] * size[1]);
      return {};
    },
    queue: {
      writeTexture(
        { origin: [x, y] }: { origin: [number, number] },
        data: Uint8Array,
        { offset, bytesPerRow }: { offset: number; bytesPerRow: number },
        [columns, rows]: [number, number],
      ) {
        if (x + columns > 4096) throw new Error("past the end of a row");
        for (let r = 0; r < rows; r++) {
          const row = data.subarray(offset + r * bytesPerRow, offset + r * bytesPerRow + 16 * columns);
          bytes.held.set(row, (y + r) * width + 16 * x);
        }
      },
    },
  };
  return { gpu: { device } as unknown as Gpu, bytes };
}

test.each([
  ["q4_0", 96, [70]], // rows of 4 quads, where a run would be 8
  ["q4_0", 1056, [1, 30, 2, 64, 40]],
  ["q4_1", 1056, [250, 7, 600]], // a last tile that is not full
  ["q5_0", 352, [40, 33]], // planes that begin within a quad
  ["q6_k", 512, [1, 258, 253]], // three stretches
  ["bf16", 2056, [33, 31, 5]], // 257 quads: a last run of 1
  ["f32", 8, [1500, 700]], // more than one of the texture's rows
] as const)("%s, rows of %i", (format: WeightFormat, K, portions) => {
  const count = portions.reduce((sum, rows) => sum + rows, 0);
  const layout = tileLayout(format, K, count, 2);
  const { rowBytes } = layout;
  const rows = Uint8Array.from({ length: count * rowBytes }, (_, i) => (i * 131 + (i >> 9)) & 255);
  const { gpu, bytes } = fake();
  const texture = createTiles(gpu, "W", count, layout);
  const begins = portions.map((_, i) => portions.slice(0, i).reduce((sum, n) => sum + n, 0));
  for (const i of [...portions.keys()].reverse()) {
    const part = rows.subarray(begins[i]! * rowBytes, (begins[i]! + portions[i]!) * rowBytes);
    writeTiles(gpu, texture, begins[i]!, part, layout);
  }
  const read = (as: TileLayout) => Buffer.compare(untiled(bytes.held, count, as), rows);
  expect(read(layout)).toBe(0);
  const [first, ...others] = layout.stretches;
  expect(read({ ...layout, stretches: [{ ...first, run: 1 }, ...others] }), "runs of one quad").not.toBe(0);
});

test("a tile is its rows' first runs, then their second ones", () => {
  const layout = tileLayout("bf16", 512, 32, 2); // two runs
  const { rowBytes } = layout;
  const rows = Uint8Array.from({ length: 32 * rowBytes }, (_, i) => (i % rowBytes < rowBytes / 2 ? 1 : 2));
  const held = tiled(rows, layout);
  expect(held.indexOf(2)).toBe(held.length / 2);
  expect(held.lastIndexOf(1)).toBe(held.length / 2 - 1);
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

test("only llvmpipe with subgroups of eight keeps weights in tiles, and only rows of whole quads", () => {
  const gpu = (name: string, width: number) =>
    ({
      report: { kind: "software", name },
      has: { subgroups: true },
      subgroupSize: { min: width, max: width },
    }) as unknown as Gpu;
  expect(likesTiles(gpu("llvmpipe (LLVM 15.0.6, 256 bits)", 8))).toBe(true);
  expect(likesTiles(gpu("llvmpipe (LLVM 15.0.6, 512 bits)", 16))).toBe(false);
  expect(likesTiles(gpu("SwiftShader Device", 4))).toBe(false);
  expect([80, 88].map(fitsTiles)).toEqual([true, false]);
});
