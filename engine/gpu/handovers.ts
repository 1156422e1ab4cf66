// Where a model's layers are divided over devices, what one has computed goes on to the next through host memory: a send
// at the end of a device's layers, a receipt at the beginning of another's.
import type { Gpu } from "./adapter.ts";
import { createBuffer, elements, type Tensor } from "./tensor.ts";

/** The devices that have other layers of a model, as one of them meets them (parallel/relay.ts). */
export interface Relay {
  /** The values are read before it resolves, which is when there is room for them. */
  send(values: Float32Array, to: number): Promise<void>;
  /** out ← what `from` sent next. */
  receive(out: Float32Array, from: number): Promise<void>;
}

/** Values that leave this device, or come to it, behind so many dispatches. */
export interface Handover {
  readonly after: number;
  /** [T, …] f32, the recording's T or a single one */
  readonly tensor: Tensor;
  readonly direction: "send" | "receive";
  readonly peer: number;
}

type Submit = (last?: (encoder: GPUCommandEncoder) => void) => void;

export class Handovers {
  readonly list: readonly Handover[];
  readonly #gpu: Gpu;
  readonly #capacity: number;
  readonly #relay: Relay;
  readonly #staging: GPUBuffer;
  readonly #values: Float32Array<ArrayBuffer>;

  constructor(gpu: Gpu, capacity: number, relay: Relay, list: readonly Handover[]) {
    const most = Math.max(1, ...list.map(({ tensor }) => elements(tensor.shape)));
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.list = list;
    this.#gpu = gpu;
    this.#capacity = capacity;
    this.#relay = relay;
    this.#staging = createBuffer(gpu, "handover", 4 * most, usage);
    this.#values = new Float32Array(most);
  }

  /** Submits the work before it; ends with the values sent, or on the device. Errors: of the relay. */
  async compute(index: number, tokens: number, submit: Submit): Promise<void> {
    const { tensor, direction, peer } = this.list[index]!;
    const buffer = tensor.storage.buffer!;
    const count = (elements(tensor.shape) / this.#capacity) * tokens;
    const values = this.#values.subarray(0, count);
    if (direction === "receive") {
      submit();
      await this.#relay.receive(values, peer);
      this.#gpu.device.queue.writeBuffer(buffer, 0, values);
      return;
    }
    const staging = this.#staging;
    submit((encoder) => encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4 * count));
    await staging.mapAsync(GPUMapMode.READ, 0, 4 * count);
    values.set(new Float32Array(staging.getMappedRange(0, 4 * count)));
    staging.unmap();
    await this.#relay.send(values, peer);
  }

  destroy(): void {
    this.#staging.destroy();
  }
}
