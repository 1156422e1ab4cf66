// What scratch shares, and what it must not.
import { beforeEach, expect, test, vi } from "vitest";
import type { Gpu } from "./adapter.ts";
import { allocateScratch, fitsSheet, placeBytes, type Life, type Scratch } from "./scratch.ts";
import type { Sheet, Storage } from "./tensor.ts";

const device = {
  createBuffer: ({ size }: { size: number }) => ({ size }),
  createTexture: ({ size: [width, height] }: { size: [number, number] }) => ({
    ...{ width, height, createView: () => ({}) },
  }),
};
const gpu = { device, limits: { maxTextureDimension2D: 4096 } } as unknown as Gpu;

beforeEach(() => {
  vi.stubGlobal("GPUBufferUsage", {});
  vi.stubGlobal("GPUTextureUsage", {});
  return () => vi.unstubAllGlobals();
});

const buffer = (bytes: number): Storage => ({ label: "b", bytes, buffer: undefined });
const sheet = (texels: number, rows: number): Sheet => ({
  ...{ label: "s", size: [texels, rows], texture: undefined },
});

function allocated(...lives: [Scratch, first: number, last: number][]) {
  const places = allocateScratch(
    gpu,
    new Map(lives.map(([scratch, first, last]): [Scratch, Life] => [scratch, { first, last }])),
  );
  return places.map(placeBytes);
}

test("one after another share, at the same time do not", () => {
  const [a, b, c] = [buffer(64), buffer(48), buffer(64)];
  expect(allocated([a, 0, 1], [b, 1, 3], [c, 2, 2])).toEqual([64, 48]);
  expect(c.buffer).toBe(a.buffer);
  expect(b.buffer).not.toBe(a.buffer);
  const [d, e, f] = [sheet(12, 8), sheet(12, 8), sheet(8, 8)];
  expect(allocated([d, 0, 1], [e, 1, 3], [f, 2, 2])).toEqual([16 * 96, 16 * 96]);
  expect(f.texture).toBe(d.texture);
  expect(e.texture).not.toBe(d.texture);
});

test("texels and bytes never share, nor a sheet one that is too narrow or low", () => {
  const all = allocated([buffer(64), 0, 0], [sheet(2, 2), 1, 1], [buffer(64), 2, 2]);
  expect(all).toEqual([64, 64]);
  const [wide, high] = [sheet(16, 4), sheet(4, 16)];
  expect(allocated([wide, 0, 0], [high, 1, 1])).toEqual([1024, 1024]);
});

test("what is much larger is left to what needs it, and what nobody uses gets nothing", () => {
  const unused = sheet(1, 1);
  expect(allocated([sheet(64, 64), 0, 0], [sheet(8, 8), 1, 1], [unused, Infinity, -1])).toEqual([
    65_536, 1024,
  ]);
  expect(unused.texture).toBeUndefined();
});

test("sheets that a device has textures for", () => {
  expect([fitsSheet(gpu, 4096, 4096), fitsSheet(gpu, 4097, 1), fitsSheet(gpu, 1, 4097)]).toEqual([
    true,
    false,
    false,
  ]);
});
