// How wide the subgroups of kernels are that rely on their width. Some cards have one width; others leave it to the
// driver, kernel by kernel, unless it is asked for by name, which WGSL does by an attribute of the kernel. Whether the
// answer is true is tried when the device is opened (probe.ts).
import type { Gpu } from "./adapter.ts";

/** Lanes. */
export interface Subgroups {
  /** Of the adapter's subgroups: what a kernel may get that asks for nothing. */
  readonly min: number;
  readonly max: number;
  /** Of every subgroup of a kernel that relies on it; undefined: none may. */
  readonly width: number | undefined;
}

/** What is known of an adapter. */
export interface SubgroupFacts {
  /** As Dawn spells it: "amd", "intel". */
  readonly vendor: string;
  readonly backend: string;
  readonly min: number;
  readonly max: number;
  /** Has the feature subgroup-size-control. */
  readonly control: boolean;
}

/** What kernels have room for. */
const [narrowest, widest] = [4, 64];

export function subgroupsOf(facts: SubgroupFacts): Subgroups {
  const { min, max } = facts;
  const width = min === max ? min : pinFor(facts);
  const fits =
    width !== undefined && width >= narrowest && width <= widest && Number.isInteger(Math.log2(width));
  return { min, max, width: fits ? width : undefined };
}

/**
 * The width to ask for where there are several. 32 on AMD's (RDNA, 32 or 64; older ones have 64 alone): its registers are
 * that wide, llama.cpp asks for it (RDNA_DEFAULT_SUBGROUP_SIZE), and ONNX Runtime holds products by RDNA's matrices to it
 * (onnxruntime#32667). Twice the least on Intel's, as Dawn asks for where a kernel does not
 * (PhysicalDevice::FindDefaultComputeSubgroupSize): 16 of 8 to 32, of whose matrices shaders/matrix knows no shape, and 32
 * of 16 to 32 (Xe2), to which ONNX Runtime holds products by its matrices (onnxruntime#32306) and Mesa's driver what
 * multiplies matrices unasked. 32 of others, where they have it.
 * Apple's have 32 alone, and Dawn says so; it offers no choice on the Macs with other cards. The null backend has all
 * widths, and runs nothing.
 */
function pinFor({ vendor, backend, min, max, control }: SubgroupFacts): number | undefined {
  if (!control || backend === "null") return undefined;
  const wanted = vendor === "intel" ? 2 * min : 32;
  return Math.min(max, Math.max(min, wanted));
}

/** What kernels with subgroups are held to; undefined where they need not be, or may not rely on it. */
export function pinOf({
  has,
  subgroupSize: { min, max, width },
}: Pick<Gpu, "has" | "subgroupSize">): number | undefined {
  return has.subgroups && min !== max ? width : undefined;
}

/**
 * Kernels without subgroups that keep more values in a lane than 4 KiB of registers hold for twice the least lanes.
 * Intel's cards have so much for a thread, and what does not fit goes to memory and back: by Mesa's compiler products in
 * tiles of 64 spill 119 registers with 16 lanes and none with 8, and take 2.4 times as long.
 */
const heavy: ReadonlySet<string> = new Set([
  "attention_tile",
  "delta_scan",
  "matmul",
  "matmul_bytes",
  "vision_attention",
]);

/** Lanes of a kernel's subgroups, where it is held to so many; `usesThem`: its numbers depend on it. */
export type Hold = (kernel: string, usesThem: boolean) => number | undefined;

/** What the kernels of a device are held to. */
export function holdOf(gpu: Pick<Gpu, "has" | "subgroupSize" | "report">): Hold {
  const pin = pinOf(gpu);
  const least = pin !== undefined && gpu.report.vendor === "intel" ? gpu.subgroupSize.min : undefined;
  return (kernel, usesThem) => (usesThem ? pin : heavy.has(kernel) ? least : undefined);
}
