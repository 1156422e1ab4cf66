// Bringing results to the host: copy into a mappable buffer, wait for the queue, copy out.
import type { Gpu } from "./adapter.ts";
import type { Tensor } from "./tensor.ts";

/** Staging buffers that wait for the next reading: making one a step would cost the host more than the step's commands. */
const staging = new WeakMap<GPUDevice, GPUBuffer[]>();
const mostStaging = 4;

/** The smallest free one that holds `bytes` and is not far too large, or a new one. */
function takeStaging({ device }: Pick<Gpu, "device">, bytes: number): GPUBuffer {
  const free = staging.get(device) ?? [];
  const fits = (buffer: GPUBuffer) => buffer.size >= bytes && buffer.size <= 4 * bytes + 4096;
  const index = free.findIndex(fits);
  if (index >= 0) return free.splice(index, 1)[0]!;
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  return device.createBuffer({ label: "readback", size: Math.ceil(bytes / 256) * 256, usage });
}

/** Keeps it for later, the smallest first; the largest one too many is freed. */
function giveStaging({ device }: Pick<Gpu, "device">, buffer: GPUBuffer): void {
  const free = staging.get(device) ?? [];
  const larger = free.findIndex(({ size }) => size > buffer.size);
  free.splice(larger < 0 ? free.length : larger, 0, buffer);
  if (free.length > mostStaging) free.pop()!.destroy();
  staging.set(device, free);
}

/** The first `bytes` of a buffer, from `offset`. */
export async function readBytes(
  gpu: Gpu,
  source: GPUBuffer,
  bytes: number,
  offset = 0,
): Promise<ArrayBuffer> {
  const [read] = await readRanges(gpu, [{ source, offset, bytes: Math.ceil(bytes / 4) * 4 }]);
  return read!.byteLength === bytes ? read! : read!.slice(0, bytes);
}

/** Some bytes of a buffer; offset and size are multiples of 4. */
export interface Range {
  source: GPUBuffer;
  offset: number;
  bytes: number;
}

/** Submits work that ends with these commands. */
export type Submit = (last: (encoder: GPUCommandEncoder) => void) => void;

/**
 * Several pieces of buffers through one copy and one wait; without any, only the wait for what was submitted. The copy
 * is the end of what `submit` submits, if there is any; by default of nothing else.
 */
export async function readRanges(
  gpu: Pick<Gpu, "device">,
  ranges: readonly Range[],
  submit?: Submit,
): Promise<ArrayBuffer[]> {
  if (ranges.length === 0) {
    await gpu.device.queue.onSubmittedWorkDone();
    return [];
  }
  const size = ranges.reduce((sum, { bytes }) => sum + bytes, 0);
  const buffer = takeStaging(gpu, size);
  try {
    const copy: Parameters<Submit>[0] = (encoder) => {
      let at = 0;
      for (const { source, offset, bytes } of ranges) {
        encoder.copyBufferToBuffer(source, offset, buffer, at, bytes);
        at += bytes;
      }
    };
    if (submit) submit(copy);
    else submitAlone(gpu, copy);
    await buffer.mapAsync(GPUMapMode.READ, 0, size);
    const mapped = buffer.getMappedRange(0, size);
    let at = 0;
    const read = ranges.map(({ bytes }) => mapped.slice(at, (at += bytes)));
    buffer.unmap();
    giveStaging(gpu, buffer);
    return read;
  } catch (error) {
    buffer.destroy(); // it may still be mapped
    throw error;
  }
}

/** Commands that need no plan. */
export function submitAlone({ device }: Pick<Gpu, "device">, last: Parameters<Submit>[0]): void {
  const encoder = device.createCommandEncoder();
  last(encoder);
  device.queue.submit([encoder.finish()]);
}

/** Several f32 tensors, whole. */
export async function readAllF32(gpu: Gpu, tensors: readonly Tensor[]): Promise<Float32Array[]> {
  const ranges = tensors.map((tensor) => ({
    ...{ source: bufferOf(tensor), offset: 0, bytes: tensor.storage.bytes },
  }));
  return (await readRanges(gpu, ranges)).map((bytes) => new Float32Array(bytes));
}

export async function readF32(gpu: Gpu, tensor: Tensor): Promise<Float32Array> {
  return new Float32Array(await readBytes(gpu, bufferOf(tensor), tensor.storage.bytes));
}

export function bufferOf(tensor: Tensor): GPUBuffer {
  if (!tensor.storage.buffer)
    throw new Error(`${tensor.storage.label} has no buffer: its plan is not finished`);
  return tensor.storage.buffer;
}
