// Weights in tiles, for an adapter that reads textures faster than buffers: llvmpipe takes some 65 instructions for a
// texel of 16 bytes in eight lanes, and 300 for 16 bytes of a buffer (bench/LOG.md). What a mat-vec reads one after
// another lies one after another, and in stretches that are long enough for a processor to see them coming: what one
// workgroup multiplies, up to 512 rows, is a tile, and of a tile come first all rows' first runs, then their second ones,
// and so on. A run is what 256 values take of one of the format's planes. The twin of shaders/reads/tiles.wgsl.
import { availableParallelism } from "node:os";
import type { Gpu } from "./adapter.ts";
import { isBlockFormat, weightRowBytes, type WeightFormat } from "./tensor.ts";

/** Of a quad of words; a row is whole quads. */
const quadBytes = 16;
/** Quads of a texture's row: its rows lie end to end. */
const texels = 4096;
const heights = [512, 256, 128, 64] as const;
const leastHeight = 32;
/** Tiles that every core has at least, where there are enough rows. */
const tilesPerCore = 2;
/** Asked once: a process may be given other cores while a model loads, and all must see the same tiles. */
const cores = availableParallelism();

/** Quads that 256 values take of the low bits of their codes, of those above them, and of a plane of scales. */
const quads: Readonly<Record<WeightFormat, readonly [number, number, number]>> = {
  ...{ f32: [64, 0, 1], f16: [32, 0, 1], bf16: [32, 0, 1] },
  ...{ q4_0: [8, 0, 1], q4_1: [8, 0, 2], q5_0: [8, 2, 1], q5_1: [8, 2, 2], q8_0: [16, 0, 1] },
  ...{ q2_k: [4, 0, 1], q3_k: [4, 2, 1], q4_k: [8, 0, 1], q5_k: [8, 2, 1], q6_k: [8, 4, 1] },
};

/** Quads `from` … `end` − 1 of a row, in runs of `run`, the last of which may be shorter. */
export interface Stretch {
  readonly from: number;
  readonly end: number;
  readonly run: number;
}

/** How rows of K values lie in tiles. */
export interface TileLayout {
  readonly rowBytes: number;
  /** Rows of a tile. */
  readonly height: number;
  /** Some may be empty. */
  readonly stretches: readonly [Stretch, Stretch, Stretch];
}

/** Of a shard of so many rows. Tiles are as high as leaves some for every core and wastes no more than a sixteenth. */
export function tileLayout(format: WeightFormat, K: number, rows: number, spreadOver = cores): TileLayout {
  const rowBytes = weightRowBytes(format, K);
  const [low, high, scales] = quads[format];
  const end = rowBytes / quadBytes;
  const inPlanes = isBlockFormat(format);
  const second = inPlanes ? Math.floor((K * low) / 256) : end;
  const third = inPlanes ? Math.floor((K * (low + high)) / 256) : end;
  const fits = (height: number) => {
    const tiles = Math.ceil(rows / height);
    return tiles >= tilesPerCore * spreadOver && 16 * (tiles * height - rows) <= rows;
  };
  return {
    rowBytes,
    height: heights.find(fits) ?? leastHeight,
    stretches: [
      { from: 0, end: second, run: low },
      { from: second, end: third, run: Math.max(1, high) },
      { from: third, end, run: scales },
    ],
  };
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

export function createTiles(
  gpu: Gpu,
  label: string,
  rows: number,
  { rowBytes, height }: TileLayout,
): GPUTexture {
  const count = Math.ceil(rows / height) * height * (rowBytes / quadBytes);
  return gpu.device.createTexture({
    label,
    size: [texels, Math.ceil(count / texels)],
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
  layout: TileLayout,
): void {
  const { rowBytes, height } = layout;
  const end = first + rows.byteLength / rowBytes;
  for (let row = first; row < end;) {
    const whole = row % height === 0 ? Math.floor((end - row) / height) : 0;
    const count = whole > 0 ? whole * height : Math.min(end, row - (row % height) + height) - row;
    const part = rows.subarray((row - first) * rowBytes, (row - first + count) * rowBytes);
    if (whole > 0) writeQuads(gpu, tiles, (row * rowBytes) / quadBytes, tiled(part, layout));
    else writePart(gpu, tiles, row, part, layout);
    row += count;
  }
}

/**
 * What is written next, in the order of tiles. The queue copies it at once, and it is used again: a new one for each
 * chunk of a checkpoint took a load as long as copying its rows, in garbage and page faults.
 */
let scratch = new Uint8Array(0);

/** Rows of whole tiles, in the order in which tiles hold them; good until the next call. */
export function tiled(rows: Uint8Array, layout: TileLayout): Uint8Array<ArrayBuffer> {
  const tile = layout.height * layout.rowBytes;
  return ordered(rows, (copy) => {
    for (let from = 0; from < rows.byteLength; from += tile)
      for (const run of runsOf(layout)) copy(from, layout, layout.height, run);
  });
}

/** Some rows of one tile: a part of each run's. */
function writePart(gpu: Gpu, tiles: GPUTexture, row: number, rows: Uint8Array, layout: TileLayout): void {
  const { rowBytes, height } = layout;
  const within = row % height;
  const tile = (row - within) * rowBytes;
  for (const run of runsOf(layout)) {
    const part = ordered(rows, (copy) => copy(0, layout, rows.byteLength / rowBytes, run));
    writeQuads(gpu, tiles, (tile + height * run.at + within * run.width) / quadBytes, part);
  }
}

/** Bytes at … at + width − 1 of each row. */
interface Run {
  readonly at: number;
  readonly width: number;
}

function runsOf({ stretches }: TileLayout): Run[] {
  return stretches.flatMap(({ from, end, run }) =>
    Array.from({ length: Math.ceil((end - from) / run) }, (_, i) => ({
      at: quadBytes * (from + i * run),
      width: quadBytes * Math.min(run, end - from - i * run),
    })),
  );
}

type CopyRun = (from: number, layout: TileLayout, count: number, run: Run) => void;

/**
 * What `order` copies, piece by piece, of rows; good until the next call. Quads are copied as words: a call for 16 bytes
 * takes longer.
 */
function ordered(rows: Uint8Array, order: (copy: CopyRun) => void): Uint8Array<ArrayBuffer> {
  if (scratch.byteLength < rows.byteLength) scratch = new Uint8Array(rows.byteLength);
  const aligned = rows.byteOffset % 4 === 0 ? rows : rows.slice();
  const source = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const target = new Uint32Array(scratch.buffer);
  let to = 0;
  order((from, { rowBytes }, count, { at, width }) => {
    to = copyRuns(source, target, {
      from: (from + at) / 4,
      stride: rowBytes / 4,
      count,
      words: width / 4,
      to,
    });
  });
  return scratch.subarray(0, 4 * to);
}

interface Copied {
  from: number;
  stride: number;
  count: number;
  words: number;
  to: number;
}

/** → where the next one goes. */
function copyRuns(
  source: Uint32Array,
  target: Uint32Array,
  { from, stride, count, words, to }: Copied,
): number {
  for (let row = 0; row < count; row += 1) {
    const at = from + row * stride;
    if (words > 64) target.set(source.subarray(at, at + words), to);
    else for (let i = 0; i < words; i += 1) target[to + i] = source[at + i]!;
    to += words;
  }
  return to;
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
