// Which variant of a dense kernel suits a row width and a device; those for software adapters are measured (bench/LOG.md).
import type { Gpu } from "../gpu/adapter.ts";
import { isBlockFormat, type WeightFormat } from "../gpu/tensor.ts";

/** How rows of K values are moved: 16 bytes at a time where every piece of 8 is whole. */
export function rowsPart(K: number): string {
  return K % 8 === 0 ? "rows/whole" : "rows/ragged";
}

/** The parts that read rows of a weight, and move rows as long as those. */
export function weightParts(format: WeightFormat, K: number): string[] {
  return ["rows/eight", isBlockFormat(format) ? "rows/planes" : rowsPart(K), `weights/${format}`];
}

/** Whether spans of the format are read 16 bytes at a time, through a second binding of the same buffer. */
export function readsQuads(format: WeightFormat): boolean {
  return isBlockFormat(format) && format !== "q2_k" && format !== "q3_k";
}

/** The same for a kernel that takes a row by spans of 32 values. */
export function spanParts(format: WeightFormat, K: number): string[] {
  return [...weightParts(format, K), "rows/span", isBlockFormat(format) ? "spans/blocks" : "spans/pieces"];
}

export interface Lanes {
  readonly LANES: number;
  /** The part that sums over them. */
  readonly reduce: "reduce/subgroup" | "reduce/workgroup";
}

/**
 * The workgroup that shares one row's sum: exactly a subgroup where its width is fixed (no barrier, and on a
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

/** The lanes of every subgroup, where the device has but one width; else a workgroup may be cut in any way. */
export function subgroupWidth(gpu: Gpu): number | undefined {
  const { min, max } = gpu.subgroupSize;
  return gpu.has.subgroups && min === max && min >= 4 && min <= 64 ? min : undefined;
}

/** The lanes of a subgroup on a software adapter, for kernels that are made for one: a workgroup is a subgroup there. */
export function softwareLanes(gpu: Gpu): number | undefined {
  return isSoftware(gpu) ? subgroupWidth(gpu) : undefined;
}

export function isSoftware(gpu: Gpu): boolean {
  return gpu.report.kind === "software";
}

/** Workgroups in x and y for `count` of them, where one axis holds 65,535; as few too many as possible. */
export function spread(count: number): [number, number] {
  const y = Math.ceil(count / 65_535);
  return [Math.ceil(count / y), y];
}
