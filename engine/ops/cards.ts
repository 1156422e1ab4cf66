// The kernels of x · Wᵀ for cards (and for software without subgroups of a sure width), in the ways that suit one card or
// another: what is tuned. The first way of each is the guess, by arithmetic.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { pinOf } from "../gpu/subgroups.ts";
import { dims, type Shard, type Tensor, type Weight } from "../gpu/tensor.ts";
import type { Way } from "../gpu/tuning.ts";
import { fitsCardBytes, fitsCardMatvec } from "./bytes.ts";
import type { Source } from "./norm.ts";
import type { Kernel } from "./project.ts";
import { isSoftware, rowsPart, spread, subgroupWidth, weightParts } from "./variants.ts";

export interface MatvecWay extends Way {
  /** How many lanes share a row's sum. */
  readonly LANES: number;
  /** Fours of rows that a workgroup takes one after another. */
  readonly QUADS: number;
  readonly reduce: "reduce/lots_subgroups" | "reduce/lots_workgroup";
  readonly constants: Readonly<Record<string, number>>;
}

const mostLanes = 256;

/**
 * For rows of K values: about four pieces of 8 to a lane is the guess. Sums by subgroups where their width is sure; else
 * another kernel on the same device might be cut in another way, and the sums of a batch must have one order. A driver that
 * is held to a width might have chosen better: there sums in workgroup memory, whose kernels are not, are a way too.
 */
export function matvecWays(gpu: Gpu, K: number): MatvecWay[] {
  const WIDTH = subgroupWidth(gpu);
  const way = (LANES: number, QUADS: number): MatvecWay => ({
    ...{ name: `${LANES} lanes, ${QUADS}`, LANES, QUADS },
    ...sumsOver(WIDTH),
  });
  if (isSoftware(gpu)) return [way(WIDTH ?? 8, 4)]; // few cores, so few workgroups
  const least = Math.max(32, WIDTH ?? 32);
  const fit = (lanes: number) => Math.min(mostLanes, Math.max(least, 2 ** Math.round(Math.log2(lanes))));
  const guess = way(fit(K / 32), 1);
  const lanes = [least, 2 * least, 4 * least, 8 * least].filter((n) => n <= fit(K / 8));
  const others = lanes.flatMap((n) => [way(n, 1), way(n, 2)]).filter(({ name }) => name !== guess.name);
  if (pinOf(gpu) === undefined) return [guess, ...others];
  const free = lanes.map((n) => ({
    ...way(n, 1),
    ...sumsOver(undefined),
    name: `${n} lanes, 1, workgroup memory`,
  }));
  return [guess, ...others, ...free];
}

const mostColumns = 8; // of matvec

/** By subgroups of so many lanes; in workgroup memory where that is not sure. */
function sumsOver(WIDTH: number | undefined): Pick<MatvecWay, "reduce" | "constants"> {
  if (WIDTH === undefined) return { reduce: "reduce/lots_workgroup", constants: {} };
  return { reduce: "reduce/lots_subgroups", constants: { WIDTH } };
}

/**
 * One token streams W, a token of each of several sequences in the order of one. Longer batches are cut, and read W once
 * for every eight tokens: a matmul would sum in another order.
 */
export function matvec(pass: Pass, T: number, W: Weight, norm: Source["norm"]): Kernel {
  const [N, K] = W.shape;
  // What a sum's order depends on is asked for one token, however many there are.
  const question = { kernel: norm ? "matvec normed" : "matvec", format: W.shards[0]!.format, K, N, T: 1 };
  const way = pass.gpu.tuning.choose(question, [...matvecWays(pass.gpu, K), ...byteWays(pass.gpu, W)]);
  const { LANES, QUADS, reduce, constants } = way;
  const COLUMNS = columnsOf(pass.gpu, T, way, norm !== undefined);
  const norming = norm ? { EPS: norm.eps, OFFSET: norm.offset } : {};
  const inBytes = way.rounds === "bytes";
  const units = inBytes ? ["units/blocks"] : ["units/pieces", norm ? "inputs/deferred" : "inputs/plain"];
  return {
    name: "matvec",
    parts: ["step", reduce, ...units],
    constants: { LANES, QUADS, COLUMNS, ...constants, ...(inBytes ? {} : norming) },
    step: true,
    ...(inBytes ? { bytes: "buffers", quads: true } : {}),
    groups: ({ rows }) => [
      ...spread(Math.ceil(rows / (4 * QUADS))),
      T === 1 ? 1 : (tokens) => Math.ceil(tokens / COLUMNS),
    ],
  };
}

/**
 * Blocks against x in bytes: where a card multiplies bytes, that is a quarter of the instructions, which hold up one with fast
 * memory, and a dispatch more. A lane has a block at least, where there are as many.
 */
function byteWays(gpu: Gpu, { shape: [, K], shards }: Weight): MatvecWay[] {
  if (isSoftware(gpu) || !shards.every((shard) => fitsCardMatvec(gpu, shard))) return [];
  const WIDTH = subgroupWidth(gpu);
  const least = Math.max(32, WIDTH ?? 32);
  const shapes = [
    [least, 1],
    [least, 2],
    [2 * least, 1],
    [4 * least, 1],
  ] as const; // lanes, fours of rows
  return shapes
    .filter(([lanes]) => lanes === least || lanes <= K / 32)
    .map(([LANES, QUADS]) => ({
      ...{ name: `bytes, ${LANES} lanes, ${QUADS}`, LANES, QUADS, ...sumsOver(WIDTH) },
      rounds: "bytes" as const,
    }));
}

/** Tokens of a workgroup: as many as there are, and as have room for their sums where these meet in its memory. */
function columnsOf(gpu: Gpu, T: number, { LANES, reduce }: MatvecWay, normed: boolean): number {
  const lots = (columns: number) => columns + (normed ? Math.ceil(columns / 4) : 0);
  const room = (columns: number) =>
    reduce === "reduce/lots_subgroups" ||
    16 * LANES * lots(columns) <= gpu.limits.maxComputeWorkgroupStorageSize;
  let columns = Math.min(mostColumns, 2 ** Math.ceil(Math.log2(T)));
  while (!room(columns)) columns /= 2;
  return columns;
}

interface MatmulWay extends Way {
  readonly kernel: "matmul" | "matmul_matrix" | "matmul_bytes";
  /** Results of a workgroup, down and across. */
  readonly side: 32 | 64 | 128;
  /** Workgroups that share a tile; default: none do. */
  readonly splits?: number;
  readonly parts: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
}

/**
 * Large tiles read less, small ones keep a card busy: large ones where there are enough of them, is the guess. The device's
 * own matrices, where it has them, are taken if they were measured: they must compile and run before they are trusted.
 * Their inputs are rounded to f16, or bytes, which strict mode does not allow.
 */
function matmulWays(gpu: Gpu, T: number, [N, K]: Weight["shape"], shard: Shard): MatmulWay[] {
  const tiles = (side: 32 | 64, kernel: "matmul" | "matmul_bytes"): MatmulWay => ({
    ...{ name: `${kernel === "matmul" ? "" : "bytes, "}tiles of ${side}`, kernel, side, constants: {} },
    parts: [`tiles/${side}`],
    ...(kernel === "matmul_bytes" ? { rounds: "bytes" } : {}),
  });
  const enough = Math.ceil(T / 64) * Math.ceil(N / 64) >= 128;
  const sides = enough ? ([64, 32] as const) : ([32, 64] as const);
  const inBytes = fitsCardBytes(gpu, shard) ? sides : [];
  return [
    ...sides.map((side) => tiles(side, "matmul")),
    ...splitsFor(T, N, K).map((splits) => ({
      ...{ ...tiles(32, "matmul"), name: `tiles of 32, ${splits} splits`, splits },
    })),
    ...inBytes.map((side) => tiles(side, "matmul_bytes")),
    ...matrixWays(gpu, T, N),
  ];
}

/**
 * A product of few results leaves a card idle, unless several workgroups share a tile, each a part of k: as many as have
 * eight steps of 32 left. Their sums are added in one order, but another than one workgroup's: strict mode takes none.
 */
function splitsFor(T: number, N: number, K: number): number[] {
  const few = Math.ceil(T / 32) * Math.ceil(N / 32) < 256;
  return few ? [2, 4, 8].filter((splits) => K >= splits * 8 * 32) : [];
}

/** The shapes that shaders/matrix has parts for, as rows × columns × depth. */
const shapesOfParts = ["16x16x16", "8x16x16", "8x8x8"] as const;

/**
 * The device's own matrices, f16 in and f32 out, where they may be used: not in strict mode, and only where the width of
 * subgroups is sure, as which lanes hold a matrix together must be known. Workgroups of such kernels have four subgroups,
 * and Dawn wants them to be whole ones of the widest that the adapter has (ValidateComputeStageWorkgroupSize).
 */
export function matrixShapes(gpu: Gpu): { readonly shape: string; readonly WIDTH: number }[] {
  const WIDTH = subgroupWidth(gpu);
  if (!gpu.has.subgroupMatrix || !gpu.has.f16 || WIDTH === undefined || gpu.tuning.strict) return [];
  if ((4 * WIDTH) % gpu.subgroupSize.max !== 0) return [];
  const offered = gpu.report.subgroupMatrixConfigs
    .filter((c) => c.componentType === "f16" && c.resultComponentType === "f32")
    .map(({ M, N, K }) => `${M}x${N}x${K}`);
  return shapesOfParts.filter((shape) => offered.includes(shape)).map((shape) => ({ shape, WIDTH }));
}

/** In tiles of 64, or where there are some of them of 128, which a card must have the memory and the registers for. */
function matrixWays(gpu: Gpu, T: number, N: number): MatmulWay[] {
  return matrixShapes(gpu).flatMap(({ shape, WIDTH }) => {
    const way = (side: 64 | 128): MatmulWay => ({
      ...{ name: `matrices ${shape}`, kernel: "matmul_matrix", side, constants: { WIDTH }, rounds: "f16" },
      parts: [`tiles/matrices_${side}`, `matrix/${shape}`, "matrix/units"],
    });
    const large = T >= 128 && N >= 128 && fitsLarge(gpu, shape, WIDTH);
    return large ? [way(64), { ...way(128), name: `matrices ${shape}, tiles of 128` }] : [way(64)];
  });
}

/** Whether a workgroup of shaders/tiles/matrices_128 does: eight subgroups, of whose lanes each holds so many sums. */
function fitsLarge({ limits }: Gpu, shape: string, WIDTH: number): boolean {
  const [rows, columns] = shape.split("x").map(Number) as [number, number];
  const storage = 2 * 2 * 128 * (32 + 8) + 8 * rows * columns * 4;
  const lanes = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  const sums = (64 * 32) / WIDTH;
  return storage <= limits.maxComputeWorkgroupStorageSize && 8 * WIDTH <= lanes && sums <= 64;
}

export function matmul(pass: Pass, T: number, W: Weight, shard: Shard): Kernel {
  const [N, K] = W.shape;
  const question = { kernel: "matmul", format: shard.format, K, N, T };
  const ways = matmulWays(pass.gpu, T, W.shape, shard);
  const { kernel, side, parts, constants, splits = 1 } = pass.gpu.tuning.choose(question, ways);
  return {
    name: kernel,
    parts: ["step", ...(kernel === "matmul_bytes" ? [] : ["rows/within"]), ...parts],
    constants,
    step: true,
    ...(kernel === "matmul_matrix" ? { scaled: true } : {}),
    ...(kernel === "matmul_bytes" ? { bytes: "buffers", quads: true } : {}),
    ...(splits > 1 ? { splits } : {}),
    groups: ({ rows }) => [Math.ceil(rows / side), (tokens) => Math.ceil(tokens / side), splits],
  };
}

/** Rows of x in f16's range, and what leads back of each, as shaders/halve_rows.wgsl leaves them.   x: [T, K] */
export function halved(pass: Pass, x: Tensor): [h: Tensor, back: Tensor] {
  const [T, K] = dims(x, 2);
  const h = pass.scratch([T, 16 * Math.ceil(K / 32)], "rows in f16", "u32");
  const back = pass.scratch([T], "scales of rows");
  pass.dispatch("halve_rows", [x, h, undefined, back], {
    parts: [...measuring(K), "halves/native"],
    constants: { K },
    groups: [(tokens) => Math.min(T, tokens)],
  });
  return [h, back];
}

/**
 * Of each head of x the power of two that takes it into f16's range, and the one that leads back.   x: [T, Nh, D]
 * → [T·Nh, 2]
 */
export function headScales(pass: Pass, x: Tensor): Tensor {
  const [T, heads, D] = dims(x, 3);
  const s = pass.scratch([T * heads, 2], "scales of rows");
  pass.dispatch("row_scales", [x, undefined, undefined, s], {
    parts: measuring(D),
    constants: { K: D },
    groups: [heads, (tokens) => tokens],
  });
  return s;
}

/** The same of a shard's rows, which are measured when they have been written. */
export function shardScales(pass: Pass, shard: Shard, K: number): Tensor {
  const { parts, constants } = weightParts(shard, K);
  const s = pass.scratch([shard.rows, 2], "scales of rows");
  pass.dispatch("row_scales", [undefined, shard.place, undefined, s], {
    parts: [...parts, "scaled/powers", "scaled/weight", "scaled/largest"],
    constants: { K, ...constants },
    groups: spread(shard.rows),
    once: true,
  });
  return s;
}

/** What finds the largest of a row of x. */
function measuring(K: number): readonly string[] {
  return ["rows/eight", rowsPart(K), "scaled/powers", "scaled/x", "scaled/largest"];
}
