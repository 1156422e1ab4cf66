// The dispatches behind x · Wᵀ: which kernel, in which shape, over which shards. One token streams W (mat-vec), several
// tile it (matmul). One token of each of several sequences: mat-vec for several columns, in the order of one. A software
// adapter has kernels of its own (matvec_lanes, matmul_lanes; matvec_tiles for weights that are kept in tiles).
import type { Binding, Pass } from "../gpu/pass.ts";
import { decodes } from "../gpu/step.ts";
import {
  dims,
  expectShape,
  inTiles,
  isBlockFormat,
  type Shard,
  type Tensor,
  type Weight,
} from "../gpu/tensor.ts";
import { tileLayout } from "../gpu/tiles.ts";
import type { Way } from "../gpu/tuning.ts";
import { fitsBytes, productParts, quantised, sumParts, type Bytes } from "./bytes.ts";
import { halved, matmul, matvec, shardScales } from "./cards.ts";
import { plainOf, type Source } from "./norm.ts";
import {
  isSoftware,
  octetParts,
  readsQuads,
  softwareLanes,
  spanParts,
  spread,
  weightParts,
  type Reading,
} from "./variants.ts";

/** What becomes of the product: the parts say how it ends in y. */
export interface Ending {
  readonly y: Tensor;
  readonly bias: Tensor | undefined;
  readonly add: Tensor | undefined;
  readonly parts: readonly string[];
}

/** One of the kernels of x · Wᵀ, as a shard of W is given to it. */
export interface Kernel {
  readonly name:
    | "matvec"
    | "matvec_lanes"
    | "matvec_tiles"
    | "matmul"
    | "matmul_matrix"
    | "matmul_lanes"
    | "matmul_bytes"
    | "matmul_bytes_lanes";
  readonly parts: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
  /** How it reads W; default: weightParts. */
  readonly reading?: (shard: Shard, K: number) => Reading;
  /** Reads blocks through a second binding. */
  readonly quads?: true;
  /** Takes x in f16, and rows of W by their scales into it. */
  readonly scaled?: true;
  /** Takes x in bytes, from buffers or, where the device likes them better, from texels. */
  readonly bytes?: "buffers" | "texels";
  /** Leaves so many partial sums of each result. */
  readonly splits?: number;
  /** Reads how many tokens there are. */
  readonly step?: true;
  /** Workgroups for a shard's rows. */
  groups(shard: Shard): Parameters<Pass["dispatch"]>[2]["groups"];
}

/** y = x · Wᵀ: one dispatch per shard, each writing its own columns of y. */
export function project(pass: Pass, source: Source, W: Weight, ending: Ending): void {
  const [T, K] = dims(source.x, 2);
  const [N] = W.shape;
  expectShape(W, [N, K]);
  if (source.norm) expectShape(source.norm.w, [K]);
  if (T !== 1 && T !== pass.capacity) throw new Error(`${T} rows in a pass for ${pass.capacity} tokens`);
  const norm = normOnTheWay(pass, K, source);
  const input = inputs(pass, source, norm);
  for (const shard of W.shards) {
    const kernel = chooseKernel(pass, T, W, norm, shard);
    const step = kernel.step && pass.step;
    const quads = kernel.quads && readsQuads(shard) ? shard.place : undefined;
    const { parts, constants } = (kernel.reading ?? weightParts)(shard, K);
    const { x, gain, beside, parts: taking } = input(kernel, shard);
    const { splits } = kernel;
    const split = splits === undefined ? undefined : partial(pass, T, shard, splits);
    const end = split ?? ending;
    pass.dispatch(kernel.name, [x, shard.place, end.y, step, end.bias, end.add, gain, quads, ...beside], {
      parts: [...parts, ...kernel.parts, ...taking, ...end.parts],
      constants: { K, N, ...placeOf(shard), ...constants, ...kernel.constants, ...split?.constants },
      groups: kernel.groups(shard),
      flops: (tokens) => 2 * Math.min(T, tokens) * shard.rows * K,
    });
    if (split) merge(pass, T, N, shard, split, ending);
  }
}

/**
 * The norm, if the mat-vec makes it on the way: where tokens are decoded, which is a dispatch less. Mat-vecs of software
 * adapters do so in workgroup memory, if a row fits.
 */
function normOnTheWay(pass: Pass, K: number, { norm }: Source): Source["norm"] {
  const { gpu } = pass;
  const staged = Math.ceil(K / 8) * 32 + 2048 + 16; // 2 KiB to sum in, and a scale
  const fits = softwareLanes(gpu) === undefined || staged <= gpu.limits.maxComputeWorkgroupStorageSize;
  return decodes(pass) && fits ? norm : undefined;
}

/** What a kernel binds of x, and the parts that take it from there. */
interface Input {
  readonly x?: Tensor;
  readonly gain?: Tensor;
  readonly beside: readonly Binding[];
  readonly parts: readonly string[];
}

/** x in the forms that kernels want it in: each is made when the first shard's kernel asks. */
function inputs(
  pass: Pass,
  source: Source,
  onTheWay: Source["norm"],
): (kernel: Kernel, shard: Shard) => Input {
  const [, K] = dims(source.x, 2);
  let plain: Tensor | undefined;
  let halves: ReturnType<typeof halved> | undefined;
  let bytes: Bytes | undefined;
  const rows = () => (plain ??= plainOf(pass, source));
  return (kernel, shard) => {
    if (kernel.bytes) {
      const texels = kernel.bytes === "texels";
      // A card makes the norm on the way; for a processor that is no gain (bench/LOG.md).
      bytes ??= quantised(pass, plain || isSoftware(pass.gpu) ? { x: rows() } : source, texels);
      return { beside: bytes.places, parts: texels ? [bytes.part] : [] };
    }
    if (kernel.scaled) {
      halves ??= halved(pass, rows());
      return { beside: [...halves, shardScales(pass, shard, K)], parts: [] };
    }
    if (onTheWay) return { x: source.x, gain: onTheWay.w, beside: [], parts: [] };
    return { x: rows(), beside: [], parts: [] };
  };
}

function placeOf({ firstRow, rows }: Shard): Kernel["constants"] {
  return { FIRST: firstRow, ROWS: rows };
}

/** Where each split leaves its sums. */
interface Split extends Ending {
  readonly constants: Kernel["constants"];
}

function partial(pass: Pass, T: number, { rows }: Shard, splits: number): Split {
  return {
    y: pass.scratch([splits * T, rows], "partial sums"),
    ...{ bias: undefined, add: undefined, parts: ["epilogue/partial"] },
    constants: { SPLITS: splits, SPLIT_ROWS: T },
  };
}

/** The ending of the sum over all splits. */
function merge(pass: Pass, T: number, N: number, shard: Shard, split: Split, ending: Ending): void {
  const { y, bias, add, parts } = ending;
  pass.dispatch("matmul_merge", [split.y, undefined, y, undefined, bias, add], {
    parts,
    constants: { N, ...placeOf(shard), ...split.constants },
    groups: [Math.ceil(shard.rows / 256), (tokens) => Math.min(T, tokens)],
  });
}

function chooseKernel(pass: Pass, T: number, W: Weight, norm: Source["norm"], shard: Shard): Kernel {
  const [N] = W.shape;
  const lanes = softwareLanes(pass.gpu);
  if (T > 1 && !pass.batch) return lanes ? matmulLanes(pass, T, W, shard, lanes) : matmul(pass, T, W, shard);
  if (inTiles(shard)) return matvecTiles(pass, T, W, norm, shard);
  return lanes ? matvecLanes(T, N, norm, lanes) : matvec(pass, T, W, norm);
}

/** The ways of a software adapter: x as it is, or in bytes. */
const inFloats: Way = { name: "f32" };
const rounding: Way = { name: "bytes", rounds: "bytes" };

/**
 * Lots of 4 · LANES rows to a workgroup: with a norm, which each workgroup computes for itself, as many as leave some
 * workgroups for every core.
 */
function matvecLanes(T: number, N: number, norm: Source["norm"], LANES: number): Kernel {
  const COLUMNS = T === 1 ? 1 : T === 2 ? 2 : 4;
  const rows = 4 * LANES;
  const LOTS = norm ? Math.min(8, Math.max(1, Math.floor(N / rows / 32))) : 1;
  return {
    name: "matvec_lanes",
    parts: ["step", "reduce/subgroup", inputPart(T, norm)],
    constants: { LANES, LOTS, COLUMNS, ...(norm ? { EPS: norm.eps, OFFSET: norm.offset } : {}) },
    reading: spanParts,
    quads: true,
    step: true,
    groups: (shard) => [
      ...spread(Math.ceil(shard.rows / (rows * LOTS))),
      T === 1 ? 1 : (tokens) => Math.ceil(tokens / COLUMNS),
    ],
  };
}

/** A tile to a workgroup. */
function matvecTiles(
  pass: Pass,
  T: number,
  W: Weight,
  norm: Source["norm"],
  { rows, format }: Shard,
): Kernel {
  const COLUMNS = T === 1 ? 1 : T === 2 ? 2 : 4;
  const LOT = tileLayout(format, W.shape[1], rows).height;
  const products = inBytes(pass, W, format);
  return {
    name: "matvec_tiles",
    parts: ["step", "reduce/subgroup", inputPart(T, norm)],
    constants: { LOT, COLUMNS, ...(norm ? { EPS: norm.eps, OFFSET: norm.offset } : {}) },
    reading: (shard, K) => octetParts(shard, K, T > 1, products),
    step: true,
    groups: () => [...spread(Math.ceil(rows / LOT)), T === 1 ? 1 : (tokens) => Math.ceil(tokens / COLUMNS)],
  };
}

/**
 * What multiplies a format by x in bytes, where that is possible and known to be faster than in floats. It is asked for
 * one token, however many there are: nobody's numbers may depend on who else runs.
 */
function inBytes({ gpu }: Pass, W: Weight, format: Shard["format"]): readonly string[] | undefined {
  const products = sumParts(gpu, format);
  const [N, K] = W.shape;
  const ways = products ? [inFloats, rounding] : [inFloats];
  return gpu.tuning.choose({ kernel: "matvec", format, K, N, T: 1 }, ways).name === "bytes"
    ? products
    : undefined;
}

/** How a mat-vec that reads a row by spans gets its input. */
function inputPart(T: number, norm: Source["norm"]): string {
  return !norm ? "inputs/direct_rows" : T === 1 ? "inputs/norm_staged" : "inputs/norm_rows";
}

/** In f32, or with x in bytes. */
function matmulLanes(pass: Pass, T: number, W: Weight, shard: Shard, LANES: number): Kernel {
  const [N, K] = W.shape;
  const SPAN = Math.min(LANES, 8);
  const ways = fitsBytes(pass.gpu, shard) ? [inFloats, rounding] : [inFloats];
  const { name } = pass.gpu.tuning.choose({ kernel: "matmul", format: shard.format, K, N, T }, ways);
  if (name === "bytes") {
    const parts = ["step", ...productParts(shard)];
    const shape = laneShape({ columns: 4 * LANES, tokens: SPAN }, { LANES, SPAN });
    return { ...shape, name: "matmul_bytes_lanes", parts, bytes: "texels", quads: true };
  }
  const SPANS = T > SPAN ? 2 : 1;
  // Of decoded blocks a processor has no room for eight columns.
  const [part, columns] = isBlockFormat(shard.format)
    ? (["lanes/four", 4] as const)
    : (["lanes/eight", 8] as const);
  const shape = laneShape({ columns: columns * LANES, tokens: SPANS * SPAN }, { LANES, SPAN, SPANS });
  return { ...shape, name: "matmul_lanes", parts: ["step", part] };
}

/** `each`: what a workgroup computes. */
function laneShape(
  each: { columns: number; tokens: number },
  constants: Kernel["constants"],
): Pick<Kernel, "step" | "constants" | "groups"> {
  return {
    step: true,
    constants,
    groups: ({ rows }) => [(tokens) => Math.ceil(tokens / each.tokens), Math.ceil(rows / each.columns)],
  };
}
