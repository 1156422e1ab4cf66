// What the weights of a checkpoint will occupy, found out by loading them onto a device that only counts. The loader
// and the model files are the very ones that load, so the figure cannot differ from theirs; no weight is read.
import type { TensorSource } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { elements } from "../gpu/tensor.ts";
import { Loader } from "../models/loader.ts";

export interface Weighed {
  /** Of all buffers, as allocated. */
  bytes: number;
  buffers: number;
  parameters: number;
}

/**
 * Sizes of what `load` makes of a checkpoint on a device of these limits; Dawn is loaded, since the limits are known.
 * Errors: as of the load itself, so that a bad checkpoint is refused before anything is allocated.
 */
export async function weigh(
  checkpoint: TensorSource,
  { limits, report }: Pick<Gpu, "limits" | "report">,
  load: (loader: Loader) => Promise<unknown>,
): Promise<Weighed> {
  const counted = { bytes: 0, buffers: 0 };
  const device = {
    createBuffer({ size }: { size: number }) {
      counted.bytes += size;
      counted.buffers += 1;
      return { size, destroy: () => undefined };
    },
    queue: { writeBuffer: () => undefined, onSubmittedWorkDone: async () => undefined },
  };
  const gpu = { device, limits, report } as unknown as Gpu;
  const loader = new Loader(gpu, headersOf(checkpoint));
  await load(loader);
  return { ...counted, parameters: loader.parameters };
}

/** The checkpoint as its headers tell: every tensor is there, and empty. */
function headersOf(checkpoint: TensorSource): TensorSource {
  return {
    ...{ format: checkpoint.format, quant: checkpoint.quant, folder: checkpoint.folder },
    has: (name) => checkpoint.has(name),
    entry: (name) => checkpoint.entry(name),
    expectTensor: (name, shape) => checkpoint.expectTensor(name, shape),
    readF32: async (name) => new Float32Array(elements(checkpoint.entry(name).shape)),
    stream: async () => undefined,
  };
}
