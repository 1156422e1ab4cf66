// The sums over devices within a plan: what a device has computed goes through host memory, where the others' parts are
// added, and back. WebGPU has no other way from one device to another. A large sum goes in slices: while one is copied
// to the host, the one before is added up, and the one before that is on its way back.
import type { Gpu } from "./adapter.ts";
import type { Exchange } from "./pass.ts";
import { createBuffer, elements, type Tensor } from "./tensor.ts";

/** A sum over devices, behind so many dispatches. */
export interface Sum {
  readonly after: number;
  /** [T, …] f32 */
  readonly tensor: Tensor;
}

/** Values of a sum, and where they pass on their way to the host. */
interface Slice {
  readonly from: number;
  readonly count: number;
  readonly staging: GPUBuffer;
}

export class Sums {
  readonly list: readonly Sum[];
  readonly #gpu: Gpu;
  readonly #capacity: number;
  readonly #exchange: Exchange;
  /** One for each slice of the largest sum. */
  readonly #staging: readonly GPUBuffer[];
  readonly #values: Float32Array<ArrayBuffer>;

  constructor(gpu: Gpu, capacity: number, exchange: Exchange, list: readonly Sum[]) {
    const most = Math.max(1, ...list.map(({ tensor }) => elements(tensor.shape)));
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.list = list;
    this.#gpu = gpu;
    this.#capacity = capacity;
    this.#exchange = exchange;
    this.#staging = slicesOf(most, exchange.slice).map(({ count }) =>
      createBuffer(gpu, "partial sums", 4 * count, usage),
    );
    this.#values = new Float32Array(Math.min(most, exchange.slice));
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
    const slices = slicesOf(count, this.#exchange.slice).map((slice, i) => ({
      ...slice,
      staging: this.#staging[i]!,
    }));
    const { times } = this.#exchange;
    const begun = performance.now();
    const there = slices.map((slice, i) => this.#bring(buffer, slice, i === 0 ? submit : undefined));
    let [before, first]: [Slice | undefined, boolean] = [undefined, true];
    for (const [i, slice] of slices.entries()) {
      const waiting = performance.now();
      await there[i];
      const copying = performance.now();
      if (first) times.computingMs += copying - begun;
      this.#give(slice);
      times.readbackMs += performance.now() - (first ? copying : waiting);
      if (before) await this.#take(buffer, before, true);
      [before, first] = [slice, false];
    }
    await this.#take(buffer, before!, false);
    times.sums += 1;
  }

  destroy(): void {
    for (const staging of this.#staging) staging.destroy();
  }

  /** Resolves when a slice is there to be read. The first comes with the work before it, the others behind. */
  #bring(
    buffer: GPUBuffer,
    { from, count, staging }: Slice,
    submit: ((last: (encoder: GPUCommandEncoder) => void) => void) | undefined,
  ): Promise<undefined> {
    const copy = (encoder: GPUCommandEncoder) => {
      encoder.copyBufferToBuffer(buffer, 4 * from, staging, 0, 4 * count);
    };
    if (submit) submit(copy);
    else {
      const encoder = this.#gpu.device.createCommandEncoder();
      copy(encoder);
      this.#gpu.device.queue.submit([encoder.finish()]);
    }
    const there = staging.mapAsync(GPUMapMode.READ, 0, 4 * count);
    there.catch(() => undefined); // awaited in its turn, unless one before it has failed
    return there;
  }

  #give({ count, staging }: Slice): void {
    this.#exchange.give(new Float32Array(staging.getMappedRange(0, 4 * count)));
    staging.unmap();
  }

  /** `more` slices follow: the device need not wait for them to begin with this one. */
  async #take(buffer: GPUBuffer, { from, count }: Slice, more: boolean): Promise<void> {
    const values = this.#values.subarray(0, count);
    await this.#exchange.take(values);
    const begun = performance.now();
    this.#gpu.device.queue.writeBuffer(buffer, 4 * from, values);
    if (more) this.#gpu.device.queue.submit([]);
    this.#exchange.times.reducingMs += performance.now() - begun;
  }
}

function slicesOf(count: number, most: number): { from: number; count: number }[] {
  return Array.from({ length: Math.ceil(count / most) }, (_, i) => ({
    from: i * most,
    count: Math.min(most, count - i * most),
  }));
}
