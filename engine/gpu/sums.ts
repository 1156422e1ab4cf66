// The sums over devices within a plan: what a device has computed goes through host memory, where the others' parts are
// added, and back. WebGPU has no other way from one device to another.
import type { Gpu } from "./adapter.ts";
import type { Exchange } from "./plan.ts";
import { createBuffer, elements, type Tensor } from "./tensor.ts";

/** A sum over devices, behind so many dispatches. */
export interface Sum {
  readonly after: number;
  /** [T, …] f32 */
  readonly tensor: Tensor;
}

export class Sums {
  readonly list: readonly Sum[];
  readonly #gpu: Gpu;
  readonly #capacity: number;
  readonly #exchange: Exchange;
  readonly #staging: GPUBuffer;
  readonly #values: Float32Array<ArrayBuffer>;

  constructor(gpu: Gpu, capacity: number, exchange: Exchange, list: readonly Sum[]) {
    const most = Math.max(1, ...list.map(({ tensor }) => elements(tensor.shape)));
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.list = list;
    this.#gpu = gpu;
    this.#capacity = capacity;
    this.#exchange = exchange;
    this.#staging = createBuffer(gpu, "partial sums", 4 * most, usage);
    this.#values = new Float32Array(most);
  }

  /** Submits the work before a sum, with the copy that brings the part to the host; ends with the sum on the device. */
  async compute(
    index: number,
    tokens: number,
    submit: (last: (encoder: GPUCommandEncoder) => void) => void,
  ): Promise<void> {
    const { tensor } = this.list[index]!;
    const buffer = tensor.storage.buffer!;
    const count = (elements(tensor.shape) / this.#capacity) * tokens;
    const staging = this.#staging;
    submit((encoder) => encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4 * count));
    await staging.mapAsync(GPUMapMode.READ, 0, 4 * count);
    const values = this.#values.subarray(0, count);
    values.set(new Float32Array(staging.getMappedRange(0, 4 * count)));
    staging.unmap();
    await this.#exchange.sum(values);
    this.#gpu.device.queue.writeBuffer(buffer, 0, values);
  }

  destroy(): void {
    this.#staging.destroy();
  }
}
