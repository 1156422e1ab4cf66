// Rows go into tiles in any portions and come out as they were; and the order is the one that shaders/reads/tiles.wgsl
// reads.
import { expect, test } from "vitest";
import { untiled } from "../../test-fixtures/tiles.ts";
import type { Gpu } from "./adapter.ts";
import { weightRowBytes, type WeightFormat } from "./tensor.ts";
import { createTiles, fitsTiles, likesTiles, runQuads, tiled, writeTiles } from "./tiles.ts";

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
  ["bf16", 2056, [33, 31, 5]], // 257 quads: a last run of 1
  ["f32", 8, [1500, 700]], // more than one of the texture's rows
] as const)("%s, rows of %i", (format: WeightFormat, K, portions) => {
  const rowBytes = weightRowBytes(format, K);
  const count = portions.reduce((sum, rows) => sum + rows, 0);
  const rows = Uint8Array.from({ length: count * rowBytes }, (_, i) => (i * 131 + (i >> 9)) & 255);
  const { gpu, bytes } = fake();
  const texture = createTiles(gpu, "W", count, rowBytes);
  const begins = portions.map((_, i) => portions.slice(0, i).reduce((sum, n) => sum + n, 0));
  for (const i of [...portions.keys()].reverse()) {
    const part = rows.subarray(begins[i]! * rowBytes, (begins[i]! + portions[i]!) * rowBytes);
    writeTiles(gpu, texture, begins[i]!, part, rowBytes, format);
  }
  const read = (run: number) => Buffer.compare(untiled(bytes.held, count, rowBytes, run), rows);
  expect(read(16 * runQuads(format))).toBe(0);
  expect(read(16), "runs of one quad").not.toBe(0);
});

test("a tile is its rows' first runs, then their second ones", () => {
  const rowBytes = 2 * 32 * 16; // two runs of bf16
  const rows = Uint8Array.from({ length: 32 * rowBytes }, (_, i) => (i % rowBytes < rowBytes / 2 ? 1 : 2));
  const held = tiled(rows, rowBytes, "bf16");
  expect(held.indexOf(2)).toBe(held.length / 2);
  expect(held.lastIndexOf(1)).toBe(held.length / 2 - 1);
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
