// Weights in tiles, for an adapter that reads textures faster than buffers: llvmpipe takes some 65 instructions for a
// texel of 16 bytes in eight lanes, and 300 for 16 bytes of a buffer (bench/LOG.md). What a mat-vec reads one after
// another lies one after another: 32 rows are a tile, and of a tile come first all rows' first runs, then their second
// ones, and so on; a run is what 256 values take in the format's first plane. The twin of shaders/reads/tiles.wgsl.
import type { Gpu } from "./adapter.ts";
import type { WeightFormat } from "./tensor.ts";

const tileRows = 32;
/** Of a quad of words; a row is whole quads. */
const quadBytes = 16;
/** Quads of a texture's row: its rows lie end to end. */
const texels = 4096;

/** Quads of a row that lie together: what a subgroup of eight lanes reads of it at once. */
const runs: Readonly<Record<WeightFormat, number>> = {
  ...{ f32: 64, f16: 32, bf16: 32 },
  ...{ q4_0: 8, q4_1: 8, q5_0: 8, q5_1: 8, q8_0: 16 },
  ...{ q2_k: 4, q3_k: 4, q4_k: 8, q5_k: 8, q6_k: 8 },
};

export function runQuads(format: WeightFormat): number {
  return runs[format];
}

/** Whether the device's weights are kept in tiles, where their rows are whole quads; kernels for them have eight lanes. */
export function likesTiles({ report, has, subgroupSize: { min, max } }: Gpu): boolean {
  return (
    report.kind === "software" &&
    report.name.startsWith("llvmpipe") &&
    has.subgroups &&
    min === 8 &&
    max === 8
  );
}

export function fitsTiles(rowBytes: number): boolean {
  return rowBytes % quadBytes === 0;
}

export function createTiles(gpu: Gpu, label: string, rows: number, rowBytes: number): GPUTexture {
  const quads = Math.ceil(rows / tileRows) * tileRows * (rowBytes / quadBytes);
  return gpu.device.createTexture({
    label,
    size: [texels, Math.ceil(quads / texels)],
    format: "rgba32uint",
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.COPY_SRC,
  });
}

/** Bytes that tiles hold at most. */
export function mostTileBytes(gpu: Gpu): number {
  return texels * quadBytes * gpu.limits.maxTextureDimension2D;
}

/** Whole rows, from row `first` on. */
export function writeTiles(
  gpu: Gpu,
  tiles: GPUTexture,
  first: number,
  rows: Uint8Array,
  rowBytes: number,
  format: WeightFormat,
): void {
  const quads = rowBytes / quadBytes;
  const end = first + rows.byteLength / rowBytes;
  for (let row = first; row < end;) {
    const whole = row % tileRows === 0 ? Math.floor((end - row) / tileRows) : 0;
    const count = whole > 0 ? whole * tileRows : Math.min(end, row - (row % tileRows) + tileRows) - row;
    const part = rows.subarray((row - first) * rowBytes, (row - first + count) * rowBytes);
    if (whole > 0) writeQuads(gpu, tiles, row * quads, tiled(part, rowBytes, format));
    else writePart(gpu, tiles, row, part, rowBytes, format);
    row += count;
  }
}

/**
 * What is written next, in the order of tiles. The queue copies it at once, and it is used again: a new one for each
 * chunk of a checkpoint took a load as long as copying its rows, in garbage and page faults.
 */
let scratch = Buffer.alloc(0);

/** Rows of whole tiles, in the order in which tiles hold them; good until the next call. */
export function tiled(rows: Uint8Array, rowBytes: number, format: WeightFormat): Uint8Array<ArrayBuffer> {
  const from = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  if (scratch.byteLength < rows.byteLength) scratch = Buffer.alloc(rows.byteLength);
  const to = scratch.subarray(0, rows.byteLength);
  const run = runs[format] * quadBytes;
  let at = 0;
  for (let tile = 0; tile < rows.byteLength; tile += tileRows * rowBytes) {
    for (let i = 0; i < rowBytes; i += run) {
      const width = Math.min(run, rowBytes - i);
      for (let row = tile + i, end = row + tileRows * rowBytes; row < end; row += rowBytes, at += width)
        from.copy(to, at, row, row + width);
    }
  }
  return to;
}

/** Some rows of one tile: a stretch of each run. */
function writePart(
  gpu: Gpu,
  tiles: GPUTexture,
  row: number,
  rows: Uint8Array,
  rowBytes: number,
  format: WeightFormat,
): void {
  const run = runs[format] * quadBytes;
  const tile = (row - (row % tileRows)) * rowBytes;
  const count = rows.byteLength / rowBytes;
  for (let i = 0; i < rowBytes; i += run) {
    const width = Math.min(run, rowBytes - i);
    const stretch = new Uint8Array(count * width);
    for (let r = 0; r < count; r++)
      stretch.set(rows.subarray(r * rowBytes + i, r * rowBytes + i + width), r * width);
    writeQuads(gpu, tiles, (tile + tileRows * i + (row % tileRows) * width) / quadBytes, stretch);
  }
}

/** Quads from `at` on: what is left of a texture's row, whole rows, and a beginning of one. */
function writeQuads(gpu: Gpu, texture: GPUTexture, at: number, bytes: Uint8Array<ArrayBuffer>): void {
  const quads = bytes.byteLength / quadBytes;
  for (let done = 0; done < quads;) {
    const x = (at + done) % texels;
    const y = Math.floor((at + done) / texels);
    const height = x === 0 ? Math.max(1, Math.floor((quads - done) / texels)) : 1;
    const width = Math.min(texels - x, quads - done);
    gpu.device.queue.writeTexture(
      { texture, origin: [x, y] },
      bytes,
      { offset: done * quadBytes, bytesPerRow: texels * quadBytes },
      [width, height],
    );
    done += width * height;
  }
}
