// What the weights of a checkpoint will occupy, found out by loading them onto a device that only counts. The loader
// and the model files are the very ones that load, so the figure cannot differ from theirs; no weight is read.
import type { TensorSource } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { elements } from "../gpu/tensor.ts";
import { Loader } from "../models/loader.ts";
import { countingGpu } from "./counting.ts";

export interface Weighed {
  /** Of all buffers, as allocated. */
  bytes: number;
  buffers: number;
  parameters: number;
}

/**
 * Sizes of what `load` makes of a checkpoint on a device of these limits.
 * Errors: as of the load itself, so that a bad checkpoint is refused before anything is allocated.
 */
export async function weigh(
  checkpoint: TensorSource,
  like: Pick<Gpu, "limits" | "report" | "has" | "subgroupSize" | "tuning">,
  load: (loader: Loader) => Promise<unknown>,
): Promise<Weighed> {
  const { gpu, counted } = countingGpu(like);
  const loader = new Loader(gpu, headersOf(checkpoint));
  await load(loader);
  return { ...counted, parameters: loader.parameters };
}

/** The checkpoint as its headers tell: every tensor is there, and empty. */
export function headersOf(checkpoint: TensorSource): TensorSource {
  return {
    ...{ format: checkpoint.format, quant: checkpoint.quant, folder: checkpoint.folder },
    has: (name) => checkpoint.has(name),
    entry: (name) => checkpoint.entry(name),
    expectTensor: (name, shape) => checkpoint.expectTensor(name, shape),
    readF32: async (name) => new Float32Array(elements(checkpoint.entry(name).shape)),
    stream: async () => undefined,
  };
}
