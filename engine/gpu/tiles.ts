// Weights in tiles, for an adapter that reads textures faster than buffers: llvmpipe takes some 65 instructions for a
// texel of 16 bytes in eight lanes, and 300 for 16 bytes of a buffer (bench/LOG.md). What a mat-vec reads one after
// another lies one after another, and in stretches that are long enough for a processor to see them coming: what one
// workgroup multiplies, up to 512 rows, is a tile, and of a tile come first all rows' first runs, then their second ones,
// and so on. A run is what 256 values take of one of the format's planes. Of blocks a lane of a mat-vec has a row: a run of
// eight rows is all their first quads, then their second ones. The twin of shaders/reads/tiles.wgsl.
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
  /** Rows whose quads lie side by side, first all their first ones of a run, then their second ones: 8, or 1. */
  readonly side: number;
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
    side: inPlanes ? 8 : 1,
    stretches: [
      { from: 0, end: second, run: low },
      { from: second, end: third, run: Math.max(1, high) },
      { from: third, end, run: scales },
    ],
  };
}

/** Whether the device's weights are kept in tiles, where their rows are whole quads; kernels for them have eight lanes. */
export function likesTiles({ report, has, subgroupSize }: Gpu): boolean {
  return (
    report.kind === "software" &&
    report.name.startsWith("llvmpipe") &&
    has.subgroups &&
    subgroupSize.width === 8
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

/**
 * One run of some rows, as it lies in rows that are one behind another, in words. `side` of them, which divides `count`, lie
 * side by side, quad by quad.
 */
interface Runs {
  readonly from: number;
  readonly stride: number;
  readonly count: number;
  readonly words: number;
  readonly side: number;
}

/** Quads `at` … of a texture, and what makes them, in order. */
export interface Region {
  readonly at: number;
  quads: number;
  readonly runs: Runs[];
}

/** Where `count` rows from row `first` on lie in tiles; what lies side by side is one region. */
export function regionsOf(first: number, count: number, layout: TileLayout): Region[] {
  const { height, side } = layout;
  const regions: Region[] = [];
  for (let row = first, rows = 0; row < first + count; row += rows) {
    const within = row % height;
    rows = Math.min(first + count - row, height - within);
    const lone = Math.min(rows, (side - (within % side)) % side); // before the first of whose side all are there
    const whole = rows - lone - ((rows - lone) % side);
    tileRegions(regions, first, row, lone, layout);
    tileRegions(regions, first, row + lone, whole, layout);
    tileRegions(regions, first, row + lone + whole, rows - lone - whole, layout);
  }
  return regions;
}

/** Of rows of one tile: whole sides of them, or some of one side, which lie between the quads of the others. */
function tileRegions(regions: Region[], first: number, row: number, count: number, layout: TileLayout): void {
  if (count === 0) return;
  const { rowBytes, height, side } = layout;
  const stride = rowBytes / 4;
  const within = row % height;
  const tile = (row - within) * rowBytes;
  for (const { at, width } of runsOf(layout)) {
    const from = (row - first) * stride + at / 4;
    const begin = (tile + height * at + (within - (within % side)) * width) / quadBytes + (within % side);
    if (count % side === 0) {
      const runs = { from, stride, count, words: width / 4, side };
      append(regions, begin, (count * width) / quadBytes, runs);
    } else {
      const some = { stride, count, words: 4, side: count };
      for (let quad = 0; quad < width / quadBytes; quad += 1)
        append(regions, begin + quad * side, count, { from: from + 4 * quad, ...some });
    }
  }
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
