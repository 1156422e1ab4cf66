// Bringing results to the host: copy into a mappable buffer, wait for the queue, copy out, free.
import type { Gpu } from "./adapter.ts";
import type { Tensor } from "./tensor.ts";

/** The first `bytes` of a buffer, from `offset`. */
export async function readBytes(
  gpu: Gpu,
  source: GPUBuffer,
  bytes: number,
  offset = 0,
): Promise<ArrayBuffer> {
  const size = Math.ceil(bytes / 4) * 4;
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = gpu.device.createBuffer({ label: "readback", size, usage });
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, offset, staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return staging.getMappedRange(0, size).slice(0, bytes);
  } finally {
    staging.destroy();
  }
}

/** Some bytes of a buffer; offset and size are multiples of 4. */
export interface Range {
  source: GPUBuffer;
  offset: number;
  bytes: number;
}

/** Several pieces of buffers through one copy and one wait; without any, only the wait for what was submitted. */
export async function readRanges(gpu: Gpu, ranges: readonly Range[]): Promise<ArrayBuffer[]> {
  if (ranges.length === 0) {
    await gpu.device.queue.onSubmittedWorkDone();
    return [];
  }
  const size = ranges.reduce((sum, { bytes }) => sum + bytes, 0);
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = gpu.device.createBuffer({ label: "readback", size, usage });
  try {
    const encoder = gpu.device.createCommandEncoder();
    let at = 0;
    for (const { source, offset, bytes } of ranges) {
      encoder.copyBufferToBuffer(source, offset, staging, at, bytes);
      at += bytes;
    }
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const mapped = staging.getMappedRange();
    at = 0;
    return ranges.map(({ bytes }) => mapped.slice(at, (at += bytes)));
  } finally {
    staging.destroy();
  }
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

export async function readU32(gpu: Gpu, tensor: Tensor): Promise<Uint32Array> {
  return new Uint32Array(await readBytes(gpu, bufferOf(tensor), tensor.storage.bytes));
}

export function bufferOf(tensor: Tensor): GPUBuffer {
  if (!tensor.storage.buffer)
    throw new Error(`${tensor.storage.label} has no buffer: its plan is not finished`);
  return tensor.storage.buffer;
}
