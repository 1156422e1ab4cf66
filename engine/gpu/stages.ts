// Memory through which bytes go to textures. Dawn's own, behind writeTexture, is made anew for every few megabytes:
// cleared, paged in and given back, which took a load on llvmpipe longer than its copies (bench/LOG.md). These are
// mapped again when the device has taken what was in them. A device that is lost or destroyed frees them: whoever writes
// asks for memory, and is done with it before anything else runs.
import type { Gpu } from "./adapter.ts";
import { calmly } from "./polls.ts";

const roundedTo = 1 << 16;

interface Stages {
  /** Mapped, and of no use at the moment. */
  readonly idle: GPUBuffer[];
}

const stages = new WeakMap<GPUDevice, Stages>();

/** A mapped one of at least so many bytes. */
export function takeStage(gpu: Gpu, bytes: number): GPUBuffer {
  const { idle } = stagesOf(gpu);
  const known = idle.findIndex(({ size }) => size >= bytes);
  if (known >= 0) return idle.splice(known, 1)[0]!;
  return gpu.device.createBuffer({
    label: "stage",
    size: Math.ceil(bytes / roundedTo) * roundedTo,
    usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC,
    mappedAtCreation: true,
  });
}

/** Bytes from … of a stage, none of them asked for before; nothing where the device is gone, or they were. */
export function memoryOf(stage: GPUBuffer, from: number, bytes: number): Uint32Array | undefined {
  try {
    return new Uint32Array(stage.getMappedRange(from, bytes));
  } catch (error) {
    if ((error as Error).name === "OperationError") return undefined;
    throw error;
  }
}

/** Submits copies out of a stage, which is used again when they are done. */
export function sendStage(gpu: Gpu, stage: GPUBuffer, copies: (encoder: GPUCommandEncoder) => void): void {
  stage.unmap();
  const encoder = gpu.device.createCommandEncoder();
  copies(encoder);
  gpu.device.queue.submit([encoder.finish()]);
  const own = stagesOf(gpu);
  calmly(stage.mapAsync(GPUMapMode.WRITE)).then(
    () => (stages.get(gpu.device) === own ? keep(own, stage) : stage.destroy()),
    () => stage.destroy(),
  );
}

/** The smallest first. */
function keep({ idle }: Stages, stage: GPUBuffer): void {
  idle.push(stage);
  idle.sort((a, b) => a.size - b.size);
}

/** Gives back all that nobody uses, and what is under way when it is done. */
export function freeStages({ device }: Gpu): void {
  for (const stage of stages.get(device)?.idle ?? []) stage.destroy();
  stages.delete(device);
}

function stagesOf({ device }: Gpu): Stages {
  const own = stages.get(device) ?? { idle: [] };
  stages.set(device, own);
  return own;
}
