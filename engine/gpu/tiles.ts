// Weights in tiles, for an adapter that reads textures faster than buffers: llvmpipe takes some 65 instructions for a
// texel of 16 bytes in eight lanes, and 300 for 16 bytes of a buffer (bench/LOG.md). What a mat-vec reads one after
// another lies one after another, and in stretches that are long enough for a processor to see them coming: what one
// workgroup multiplies, up to 512 rows, is a tile, and of a tile come first all rows' first runs, then their second ones,
// and so on. A run is what 256 values take of one of the format's planes. The twin of shaders/reads/tiles.wgsl.
import { availableParallelism } from "node:os";
import type { Gpu } from "./adapter.ts";
import { isBlockFormat, weightRowBytes, type WeightFormat } from "./tensor.ts";

/** Of a quad of words; a row is whole quads. */
export const quadBytes = 16;
/** Quads of a texture's row: its rows lie end to end. */
export const texels = 4096;
const heights = [512, 256, 128, 64] as const;
const leastHeight = 32;
/** Bytes of a texture whose rows are gathered (tileWriter.ts). */
export const mostGathered = 16 << 20;
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
  /** Of the shard. */
  readonly rows: number;
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
    rows,
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

export function createTiles(gpu: Gpu, label: string, { rows, rowBytes, height }: TileLayout): GPUTexture {
  const count = Math.ceil(rows / height) * height * (rowBytes / quadBytes);
  return gpu.device.createTexture({
    label,
    size: [texels, Math.ceil(count / texels)],
    format: "rgba32uint",
    usage:
      GPUTextureUsage.STORAGE_BINDING |
      GPUTextureUsage.COPY_DST |
      GPUTextureUsage.COPY_SRC |
      GPUTextureUsage.RENDER_ATTACHMENT,
  });
}

/**
 * Rows of a shard that is written at once: whole tiles, where they are high and enough for every core. Otherwise a shard
 * may be as large as it will: what is saved in a load is not worth slower mat-vecs.
 */
export function gatheredRows(rowBytes: number, spreadOver = cores): number {
  const tiles = Math.floor(mostGathered / (heights[0] * rowBytes));
  return tiles >= tilesPerCore * spreadOver ? tiles * heights[0] : Infinity;
}

/** One run of some rows, as it lies in rows that are one behind another, in words. */
interface Runs {
  readonly from: number;
  readonly stride: number;
  readonly count: number;
  readonly words: number;
}

/** Quads `at` … of a texture, and what makes them, in order. */
export interface Region {
  readonly at: number;
  quads: number;
  readonly runs: Runs[];
}

/** Where `count` rows from row `first` on lie in tiles; what lies side by side is one region. */
export function regionsOf(first: number, count: number, layout: TileLayout): Region[] {
  const { rowBytes, height } = layout;
  const stride = rowBytes / 4;
  const runs = runsOf(layout);
  const regions: Region[] = [];
  for (let row = first, rows = 0; row < first + count; row += rows) {
    const within = row % height;
    rows = Math.min(first + count - row, height - within);
    const tile = (row - within) * rowBytes;
    for (const { at, width } of runs) {
      const part = { from: (row - first) * stride + at / 4, stride, count: rows, words: width / 4 };
      append(regions, (tile + height * at + within * width) / quadBytes, (rows * width) / quadBytes, part);
    }
  }
  return regions;
}

function append(regions: Region[], at: number, quads: number, runs: Runs): void {
  const last = regions.at(-1);
  if (last && last.at + last.quads === at) {
    last.quads += quads;
    last.runs.push(runs);
  } else regions.push({ at, quads, runs: [runs] });
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
