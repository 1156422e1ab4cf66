// A device that only counts. What is loaded, allocated and recorded on it is what a real device of the same limits would
// be asked for, buffer for buffer; nothing is computed, compiled or kept.
import type { Gpu } from "../gpu/adapter.ts";
import { texelBytes } from "../gpu/scratch.ts";

const computePass = {
  setPipeline: () => undefined,
  setBindGroup: () => undefined,
  dispatchWorkgroups: () => undefined,
  end: () => undefined,
};

/** What passes through memory of the host on its way (gpu/stages.ts) stays nowhere. */
const stage = (size: number) => ({
  size,
  getMappedRange: (_: number, bytes: number) => new ArrayBuffer(bytes),
  unmap: () => undefined,
  mapAsync: async () => undefined,
  destroy: () => undefined,
});

export interface CountingGpu {
  gpu: Gpu;
  /** Of all buffers and textures so far, as allocated. */
  readonly counted: { bytes: number; buffers: number };
  /** Bytes of each, in their order. */
  readonly sizes: readonly number[];
}

/** Dawn is loaded already: only then are the limits known. */
export function countingGpu(
  like: Pick<Gpu, "limits" | "report" | "has" | "subgroupSize" | "tuning">,
): CountingGpu {
  const counted = { bytes: 0, buffers: 0 };
  const sizes: number[] = [];
  const count = (bytes: number) => {
    counted.bytes += bytes;
    counted.buffers += 1;
    sizes.push(bytes);
  };
  const device = {
    createBuffer({ size, mappedAtCreation }: { size: number; mappedAtCreation?: boolean }) {
      if (mappedAtCreation) return stage(size);
      count(size);
      return { size, destroy: () => undefined };
    },
    createTexture({ size: [width, height] }: { size: [number, number] }) {
      count(texelBytes * width * height);
      return { width, height, createView: () => ({}), destroy: () => undefined };
    },
    createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
    createComputePipelineAsync: async () => ({ getBindGroupLayout: () => ({}) }),
    createBindGroup: () => ({}),
    createCommandEncoder: () => ({
      beginComputePass: () => computePass,
      copyBufferToTexture: () => undefined,
      finish: () => ({}),
    }),
    pushErrorScope: () => undefined,
    popErrorScope: async () => null,
    queue: {
      submit: () => undefined,
      writeBuffer: () => undefined,
      onSubmittedWorkDone: async () => undefined,
    },
  };
  const { limits, report, has, subgroupSize, tuning } = like;
  const gpu = { device, limits, report, has, subgroupSize, tuning } as unknown as Gpu;
  return { gpu, counted, sizes };
}
