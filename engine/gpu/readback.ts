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

/** Several f32 tensors through one copy and one wait. */
export async function readAllF32(gpu: Gpu, tensors: readonly Tensor[]): Promise<Float32Array[]> {
  const offsets: number[] = [];
  let size = 0;
  for (const { storage } of tensors) {
    offsets.push(size);
    size += storage.bytes;
  }
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = gpu.device.createBuffer({ label: "readback", size, usage });
  try {
    const encoder = gpu.device.createCommandEncoder();
    for (const [i, tensor] of tensors.entries()) {
      encoder.copyBufferToBuffer(bufferOf(tensor), 0, staging, offsets[i]!, tensor.storage.bytes);
    }
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange();
    return tensors.map(
      ({ storage }, i) => new Float32Array(bytes.slice(offsets[i]!, offsets[i]! + storage.bytes)),
    );
  } finally {
    staging.destroy();
  }
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
