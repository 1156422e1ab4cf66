// What the host does to the sequences' memory between runs: whose the pages are, and copies of pages and states. All of
// it is ordered with the runs by the queue, and nothing is allocated.
import type { Gpu } from "../gpu/adapter.ts";
import { bufferOf } from "../gpu/readback.ts";
import { rowBytes, type Tensor } from "../gpu/tensor.ts";
import { resetDeltaState } from "../ops/delta.ts";
import type { LayerMemory, Memory } from "./network.ts";

/** Pages first … of the sequence in `slot`. */
export function writeTable(
  gpu: Gpu,
  { table }: Memory,
  slot: number,
  first: number,
  pages: readonly number[],
): void {
  const width = table.shape[1]!;
  if (first + pages.length > width) throw new Error(`${first + pages.length} pages in a table for ${width}`);
  gpu.device.queue.writeBuffer(bufferOf(table), 4 * (slot * width + first), Uint32Array.from(pages));
}

/** All keys and values of a page. */
export function copyPage(gpu: Gpu, memory: Memory, from: number, to: number): void {
  const tensors = memory.layers.flatMap((layer) =>
    layer.kind === "attention" ? [layer.cache.k, layer.cache.v] : [],
  );
  submit(gpu, (encoder) => {
    for (const of of tensors) move(encoder, memory.bounce, { of, row: from }, { of, row: to });
  });
}

/** The state of a slot back to the start of a sequence. Keys and values behind its end are never read: they may stay. */
export function clearState(gpu: Gpu, memory: Memory, slot: number): void {
  resetDeltaState(gpu, slot, ...statesOf(memory));
}

export function saveState(gpu: Gpu, memory: Memory, slot: number, snapshot: number): void {
  submit(gpu, (encoder) => {
    for (const { memory: states, saved } of statesOf(memory))
      copy(encoder, { of: states, row: slot }, { of: saved!, row: snapshot });
  });
}

export function restoreState(gpu: Gpu, memory: Memory, snapshot: number, slot: number): void {
  submit(gpu, (encoder) => {
    for (const { memory: states, saved } of statesOf(memory))
      copy(encoder, { of: saved!, row: snapshot }, { of: states, row: slot });
  });
}

function statesOf({ layers }: Memory) {
  return layers.flatMap((layer: LayerMemory) => (layer.kind === "delta" ? [layer.state] : []));
}

/** What belongs to one page, slot or snapshot of a layer: the innermost axes. */
interface Row {
  of: Tensor;
  row: number;
}

function copy(encoder: GPUCommandEncoder, from: Row, to: Row): void {
  const bytes = rowBytes(from.of);
  encoder.copyBufferToBuffer(bufferOf(from.of), from.row * bytes, bufferOf(to.of), to.row * bytes, bytes);
}

/** WebGPU copies nothing within one buffer: by way of another. */
function move(encoder: GPUCommandEncoder, bounce: Tensor, from: Row, to: Row): void {
  copy(encoder, from, { of: bounce, row: 0 });
  const bytes = rowBytes(to.of);
  encoder.copyBufferToBuffer(bufferOf(bounce), 0, bufferOf(to.of), to.row * bytes, bytes);
}

function submit(gpu: Gpu, record: (encoder: GPUCommandEncoder) => void): void {
  const encoder = gpu.device.createCommandEncoder({ label: "memory" });
  record(encoder);
  gpu.device.queue.submit([encoder.finish()]);
}
