// Rows go into tiles in any portions and come out as they were, by the fewest copies that there can be, and in memory
// that is used again.
import { expect, test } from "vitest";
import { untiled } from "../../test-fixtures/tiles.ts";
import type { Gpu } from "./adapter.ts";
import type { WeightFormat } from "./tensor.ts";
import { createTiles, tileLayout, type TileLayout } from "./tiles.ts";
import { finishTiles, writeTiles } from "./tileWriter.ts";

Object.assign(globalThis, {
  GPUTextureUsage: { STORAGE_BINDING: 8, COPY_DST: 2, COPY_SRC: 1, RENDER_ATTACHMENT: 16 },
  GPUBufferUsage: { MAP_WRITE: 2, COPY_SRC: 4 },
  GPUMapMode: { WRITE: 2 },
});

const rowOfTexture = 4096 * 16;
type Copied = { whole: boolean };

/** Mapped memory whose ranges may be asked for once, and which is full of ones when it is new. */
function stage(size: number, device: { gone: boolean; freed: number }) {
  const bytes = new Uint8Array(size).fill(1);
  const ranges: { from: number; memory: ArrayBuffer }[] = [];
  return {
    ...{ size, bytes },
    getMappedRange(from: number, length: number) {
      const taken = ranges.some((r) => from < r.from + r.memory.byteLength && r.from < from + length);
      if (device.gone || taken) throw Object.assign(new Error(), { name: "OperationError" });
      const memory = bytes.slice(from, from + length).buffer;
      ranges.push({ from, memory });
      return memory;
    },
    unmap() {
      for (const { from, memory } of ranges.splice(0)) bytes.set(new Uint8Array(memory), from);
    },
    mapAsync: () => (device.gone ? Promise.reject(new Error("gone")) : Promise.resolve()),
    destroy: () => void (device.freed += 1),
  };
}

/** A device whose textures are the bytes that were copied to them. */
function fake() {
  const seen = {
    gone: false,
    freed: 0,
    stages: 0,
    copies: [] as Copied[],
    held: new Map<object, Uint8Array>(),
  };
  const encoder = {
    copyBufferToTexture(
      from: { buffer: { bytes: Uint8Array }; offset?: number; bytesPerRow: number },
      { texture, origin: [x, y] = [0, 0] }: { texture: GPUTexture; origin?: [number, number] },
      [columns, rows]: [number, number],
    ) {
      const offset = from.offset ?? 0;
      if (x + columns > 4096) throw new Error("past the end of a row");
      for (let r = 0; r < rows; r++) {
        const at = offset + r * from.bytesPerRow;
        const row = from.buffer.bytes.slice(at, at + 16 * columns);
        seen.held.get(texture)!.set(row, (y + r) * rowOfTexture + 16 * x);
      }
      seen.copies.push({ whole: columns === texture.width && rows === texture.height });
    },
    finish: () => ({}),
  };
  const device = {
    createTexture: ({ size: [width, height] }: { size: [number, number] }) => {
      const texture = { width, height };
      seen.held.set(texture, new Uint8Array(16 * width * height));
      return texture;
    },
    createBuffer: ({ size }: { size: number }) => {
      seen.stages += 1;
      return stage(size, seen);
    },
    createCommandEncoder: () => encoder,
    queue: { submit: () => undefined },
  };
  return { gpu: { device } as unknown as Gpu, seen };
}

function rowsOf(count: number, { rowBytes }: TileLayout, seed = 131): Uint8Array {
  return Uint8Array.from({ length: count * rowBytes }, (_, i) => (i * seed + (i >> 9)) & 255);
}

/** Writes portions from the last on. */
function writeAll(
  gpu: Gpu,
  tiles: GPUTexture,
  rows: Uint8Array,
  portions: readonly number[],
  layout: TileLayout,
) {
  let end = rows.byteLength;
  for (const count of [...portions].reverse()) {
    const part = rows.subarray(end - count * layout.rowBytes, end);
    end -= part.byteLength;
    writeTiles(gpu, tiles, end / layout.rowBytes, part, layout);
  }
}

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

test.each([
  ["q4_0", 96, [70]], // rows of 4 quads, where a run would be 8
  ["q4_0", 1056, [1, 30, 2, 64, 40]],
  ["q4_1", 1056, [250, 7, 600]], // a last tile that is not full
  ["q5_0", 352, [40, 33]], // planes that begin within a quad
  ["q6_k", 512, [1, 258, 253]], // three stretches
  ["bf16", 2056, [33, 31, 5]], // 257 quads: a last run of 1
  ["f32", 8, [1500, 700]], // more than one of the texture's rows
] as const)("%s, rows of %i, in one copy", (format: WeightFormat, K, portions) => {
  const count = sum(portions);
  const layout = tileLayout(format, K, count, 2);
  const rows = rowsOf(count, layout);
  const { gpu, seen } = fake();
  const texture = createTiles(gpu, "W", layout);
  const held = seen.held.get(texture)!;
  writeAll(gpu, texture, rows, portions, layout);
  const read = (as: TileLayout) => Buffer.compare(untiled(held, count, as), rows);
  expect(read(layout)).toBe(0);
  const [first, ...others] = layout.stretches;
  expect(read({ ...layout, stretches: [{ ...first, run: 1 }, ...others] }), "runs of one quad").not.toBe(0);
  expect(seen.copies).toEqual([{ whole: true }]);
  const padded = Math.ceil(count / layout.height) * layout.height;
  const beyond = untiled(held, padded, layout).subarray(rows.byteLength);
  expect(beyond.every((byte) => byte === 0) && held.at(-1) === 0, "zeros behind the last row").toBe(true);
});

test("a large texture takes every portion as it comes", () => {
  const layout = tileLayout("f32", 1024, 4200, 2); // 16.4 MiB
  const rows = rowsOf(100, layout);
  const { gpu, seen } = fake();
  const texture = createTiles(gpu, "W", layout);
  writeTiles(gpu, texture, 300, rows, layout);
  expect(seen.copies.length).toBeGreaterThan(1);
  const held = untiled(seen.held.get(texture)!, 400, layout);
  expect(Buffer.compare(held.subarray(300 * layout.rowBytes), rows)).toBe(0);
});

test("textures that lack rows take no more than some memory, then portions as they come", () => {
  const layout = tileLayout("f32", 1024, 4000, 2); // 15.6 MiB: four of them
  const rows = rowsOf(1, layout);
  const { gpu, seen } = fake();
  const textures = Array.from({ length: 5 }, () => createTiles(gpu, "W", layout));
  for (const texture of textures) writeTiles(gpu, texture, 7, rows, layout);
  const written = textures.map((texture) => seen.held.get(texture)!.some((byte) => byte !== 0));
  expect(written).toEqual([false, false, false, false, true]);
});

test("a texture that lacks rows has the others when writing is finished, and rows that come later", () => {
  const layout = tileLayout("bf16", 512, 70, 2);
  const rows = rowsOf(70, layout);
  const { gpu, seen } = fake();
  const texture = createTiles(gpu, "W", layout);
  const held = () => untiled(seen.held.get(texture)!, 70, layout);
  const portion = (from: number, to: number) => rows.subarray(from * layout.rowBytes, to * layout.rowBytes);
  writeTiles(gpu, texture, 40, portion(40, 70), layout);
  expect(seen.copies).toEqual([]);
  finishTiles(gpu);
  expect(Buffer.compare(held().subarray(40 * layout.rowBytes), portion(40, 70))).toBe(0);
  expect(
    held()
      .subarray(0, 40 * layout.rowBytes)
      .every((byte) => byte === 0),
  ).toBe(true);
  writeTiles(gpu, texture, 0, portion(0, 40), layout);
  expect(Buffer.compare(held(), rows)).toBe(0);
});

test.each([70, 50])("of rows that are written twice the later ones count, of %i first", (first) => {
  const layout = tileLayout("bf16", 512, 70, 2);
  const [before, after] = [rowsOf(first, layout), rowsOf(70, layout, 77)];
  const { gpu, seen } = fake();
  const texture = createTiles(gpu, "W", layout);
  writeTiles(gpu, texture, 0, before, layout);
  writeTiles(gpu, texture, 0, after, layout);
  expect(Buffer.compare(untiled(seen.held.get(texture)!, 70, layout), after)).toBe(0);
});

test("memory is used again once the device has taken what was in it, and given back at the end", async () => {
  const layout = tileLayout("bf16", 512, 70, 2);
  const rows = rowsOf(70, layout);
  const { gpu, seen } = fake();
  const write = () => writeTiles(gpu, createTiles(gpu, "W", layout), 0, rows, layout);
  write();
  write(); // the first is under way
  expect(seen.stages).toBe(2);
  await new Promise(setImmediate);
  write();
  write();
  expect(seen.stages).toBe(2);
  await new Promise(setImmediate);
  write();
  finishTiles(gpu);
  expect(seen.freed).toBe(1);
  await new Promise(setImmediate); // and the other one when it comes back
  expect([seen.stages, seen.freed]).toEqual([2, 2]);
});

test("a device that is gone takes what there is to write, and nothing is thrown", async () => {
  const layout = tileLayout("bf16", 512, 70, 2);
  const { gpu, seen } = fake();
  const texture = createTiles(gpu, "W", layout);
  writeTiles(gpu, texture, 0, rowsOf(30, layout), layout);
  seen.gone = true;
  writeTiles(gpu, texture, 30, rowsOf(40, layout), layout);
  await new Promise(setImmediate);
  expect(seen.freed).toBe(seen.stages);
});
