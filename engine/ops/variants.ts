// Which variant of a dense kernel suits a row width and a device; those for software adapters are measured (bench/LOG.md).
import type { Gpu } from "../gpu/adapter.ts";
import { inTiles, isBlockFormat, type Shard, type WeightFormat } from "../gpu/tensor.ts";
import { tileLayout } from "../gpu/tiles.ts";

/** How rows of K values are moved: 16 bytes at a time where every piece of 8 is whole. */
export function rowsPart(K: number): string {
  return K % 8 === 0 ? "rows/whole" : "rows/ragged";
}

/** How rows of K floats are read from a buffer of 16- or 32-bit values. */
export function floatReads(K: number): string {
  return K % 8 === 0 ? "reads/whole" : "reads/ragged";
}

/** What kernels read rows of a weight by. */
export interface Reading {
  readonly parts: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
}

/** Of formats that have the codes of their blocks in common. */
const codes: Partial<Record<WeightFormat, readonly string[]>> = {
  ...{ q4_0: ["codes/four"], q4_1: ["codes/four"], q4_k: ["codes/four"] },
  ...{ q5_0: ["codes/five"], q5_1: ["codes/five"], q5_k: ["codes/five"] },
};

/** How a block format's scales lie (shaders/scales); q2_k's are its own. */
const scales: Partial<Record<WeightFormat, string>> = {
  ...{ q4_0: "half", q5_0: "half", q8_0: "half", q4_1: "halves", q5_1: "halves" },
  ...{ q4_k: "minima", q5_k: "minima", q3_k: "signed", q6_k: "signed" },
};

/** How a block format's codes lie (shaders/chunks). */
const chunks: Partial<Record<WeightFormat, string>> = {
  ...{ q4_0: "four", q4_1: "four", q4_k: "four", q5_0: "five", q5_1: "five", q5_k: "five" },
  ...{ q2_k: "two", q3_k: "three", q6_k: "six", q8_0: "eight" },
};

/** What reads rows of a shard, and moves rows as long as those. */
export function weightParts(shard: Shard, K: number): Reading {
  const { format } = shard;
  const [rows, reads] = isBlockFormat(format)
    ? ["rows/planes", "reads/planes"]
    : [rowsPart(K), floatReads(K)];
  const constants: Reading["constants"] = inTiles(shard) ? tileConstants(shard, K) : {};
  const read = inTiles(shard) ? "reads/tiles" : reads;
  const scale = scales[format];
  const own = [...(codes[format] ?? []), ...(scale ? [`scales/${scale}`] : []), `weights/${format}`];
  return { parts: ["rows/eight", read, rows, ...own], constants };
}

/** What shaders/reads/tiles.wgsl has to know of gpu/tiles.ts. */
function tileConstants({ format, rows }: Shard, K: number): Reading["constants"] {
  const { height, side, stretches } = tileLayout(format, K, rows);
  const [first, second, third] = stretches;
  const constants = { TILE: height, SIDE: side, RUN: first.run, SECOND: second.from };
  return { ...constants, SECOND_RUN: second.run, THIRD: third.from, THIRD_RUN: third.run };
}

/** Whether blocks of a shard are read 16 bytes at a time, through a second binding of the same buffer. */
export function readsQuads(shard: Shard): boolean {
  const { format } = shard;
  return isBlockFormat(format) && !inTiles(shard) && format !== "q2_k" && format !== "q3_k";
}

/** The same as weightParts for a kernel that takes a row by spans of 32 values. */
export function spanParts(shard: Shard, K: number): Reading {
  const { parts, constants } = weightParts(shard, K);
  const spans = isBlockFormat(shard.format) ? "spans/blocks" : "spans/pieces";
  return { parts: [...parts, "rows/span", spans, "inputs/piece"], constants };
}

/**
 * The same for a kernel that takes eight rows at a time by such spans, for one token or for several; `products`: what
 * multiplies them in bytes.
 */
export function octetParts(shard: Shard, K: number, several: boolean, products?: readonly string[]): Reading {
  const inBlocks = isBlockFormat(shard.format);
  const one = inBlocks ? "columns/one_row" : "columns/one";
  const more = inBlocks ? "columns/several_rows" : "columns/several";
  const columns = several ? ["columns/spans", more] : [one];
  if (!inBlocks) {
    const { parts, constants } = spanParts(shard, K);
    return { parts: [...parts, ...columns, "octets/floats"], constants };
  }
  const { parts, constants } = weightParts(shard, K);
  const way = products ? [...products, "spans/bytes"] : ["spans/blocks"];
  const octets = [
    "octets/rows",
    `chunks/${chunks[shard.format]!}`,
    products ? "octets/bytes" : "octets/blocks",
  ];
  return { parts: [...parts, "rows/span", ...way, "inputs/piece", ...columns, ...octets], constants };
}

export interface Lanes {
  readonly LANES: number;
  /** The part that sums over them. */
  readonly reduce: "reduce/subgroup" | "reduce/workgroup";
}

/**
 * The workgroup that shares one row's sum: exactly a subgroup where its width is sure (no barrier, and on a
 * processor no switch between invocations), else some lanes that meet in workgroup memory.
 */
export function rowLanes(gpu: Gpu): Lanes {
  const width = subgroupWidth(gpu);
  if (width !== undefined) return { LANES: width, reduce: "reduce/subgroup" };
  return { LANES: isSoftware(gpu) ? 8 : 64, reduce: "reduce/workgroup" };
}

/** Lanes for one row alone, where a card has nothing else to do and a processor gains nothing by more. */
export function wideLanes(gpu: Gpu): Lanes {
  return isSoftware(gpu) ? rowLanes(gpu) : { LANES: 128, reduce: "reduce/workgroup" };
}

/** The lanes of every subgroup of a kernel that has any, where that is sure; else a workgroup may be cut in any way. */
export function subgroupWidth(gpu: Gpu): number | undefined {
  return gpu.has.subgroups ? gpu.subgroupSize.width : undefined;
}

/** The lanes of a subgroup on a software adapter, for kernels that are made for one: a workgroup is a subgroup there. */
export function softwareLanes(gpu: Gpu): number | undefined {
  return isSoftware(gpu) ? subgroupWidth(gpu) : undefined;
}

export function isSoftware(gpu: Pick<Gpu, "report">): boolean {
  return gpu.report.kind === "software";
}

/** Workgroups in x and y for `count` of them, where one axis holds 65,535; as few too many as possible. */
export function spread(count: number): [number, number] {
  const y = Math.ceil(count / 65_535);
  return [Math.ceil(count / y), y];
}
