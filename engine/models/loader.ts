// From the checkpoint's tensors to weights on the device. Matrices that read the same input are packed into one, so
// that one dispatch computes them all. Bytes flow in chunks through one buffer: host memory stays flat however large
// the checkpoint is. Whatever was made is freed when a load fails.
import { bf16ToF32, f16ToF32 } from "../formats/halves.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { free, permanent, weightBytes, type Tensor, type Weight, type WeightFormat } from "../gpu/tensor.ts";
import { createWeight, writeRows } from "../gpu/weight.ts";

const chunkBytes = 4 << 20;
/** Bytes queued before the queue is waited for: staging memory must not grow with the checkpoint. */
const inFlightBytes = 64 << 20;

/** A tensor of the checkpoint and the rows it must have. */
export interface Rows {
  name: string;
  rows: number;
}

export class Loader {
  readonly checkpoint: Checkpoint;
  readonly gpu: Gpu;
  readonly #made: (Tensor | Weight)[] = [];
  readonly #onBytes: (bytes: number, tensor: string | undefined) => void;
  #queued = 0;
  /** Bytes of weights on the device. */
  bytes = 0;
  /** Distinct parameters read. */
  parameters = 0;

  constructor(
    gpu: Gpu,
    checkpoint: Checkpoint,
    onBytes: (bytes: number, tensor?: string) => void = () => undefined,
  ) {
    this.gpu = gpu;
    this.checkpoint = checkpoint;
    this.#onBytes = onBytes;
  }

  /** A small tensor in f32, whatever the checkpoint keeps it in; `as` drops axes of one. */
  async vector(name: string, shape: readonly number[], as = shape): Promise<Tensor> {
    return this.#permanent(name, as, await this.#read(name, shape));
  }

  /** Vectors end to end; absent ones are zero. */
  async vectors(parts: readonly Rows[]): Promise<Tensor> {
    const total = parts.reduce((sum, part) => sum + part.rows, 0);
    const data = new Float32Array(total);
    let at = 0;
    for (const { name, rows } of parts) {
      if (this.checkpoint.has(name)) data.set(await this.#read(name, [rows]), at);
      at += rows;
    }
    return this.#permanent(parts[0]!.name, [total], data);
  }

  /** W [rows, K], or several such matrices one below the other. */
  async matrix(parts: readonly Rows[], K: number): Promise<Weight> {
    const formats = parts.map(({ name, rows }) => this.#format(name, [rows, K]));
    const weight = this.#weight(parts, K, widest(formats));
    let firstRow = 0;
    for (const part of parts) {
      const start = firstRow;
      await this.#stream(part, K, weight.format, (row, bytes) => {
        writeRows(this.gpu, weight, start + row, bytes);
      });
      firstRow += part.rows;
    }
    return weight;
  }

  /** Two matrices [rows, K] with their rows interleaved: even rows of the first, odd rows of the second. */
  async interleaved(even: Rows, odd: Rows, K: number): Promise<Weight> {
    const formats = [even, odd].map(({ name, rows }) => this.#format(name, [rows, K]));
    const weight = this.#weight([even, odd], K, widest(formats));
    const rowBytes = K * weightBytes[weight.format];
    const step = Math.max(1, Math.floor(chunkBytes / rowBytes));
    for (let row = 0; row < even.rows; row += step) {
      const rows = Math.min(step, even.rows - row);
      const both = new Uint8Array(2 * rows * rowBytes);
      for (const [offset, part] of [even, odd].entries()) {
        await this.#stream(
          part,
          K,
          weight.format,
          (at, bytes) => {
            for (let r = 0; r * rowBytes < bytes.byteLength; r += 1) {
              both.set(
                bytes.subarray(r * rowBytes, (r + 1) * rowBytes),
                (2 * (at - row + r) + offset) * rowBytes,
              );
            }
          },
          [row, row + rows],
        );
      }
      writeRows(this.gpu, weight, 2 * row, both);
    }
    return weight;
  }

  /** Frees everything this loader made. */
  dispose(): void {
    free(...this.#made.splice(0));
  }

  #weight(parts: readonly Rows[], K: number, format: WeightFormat): Weight {
    const N = parts.reduce((sum, part) => sum + part.rows, 0);
    const weight = createWeight(this.gpu, parts[0]!.name, [N, K], format);
    this.#made.push(weight);
    this.bytes += N * K * weightBytes[format];
    this.parameters += N * K;
    return weight;
  }

  #permanent(label: string, shape: readonly number[], data: Float32Array): Tensor {
    const tensor = permanent(this.gpu, label, shape, data);
    this.#made.push(tensor);
    this.bytes += data.byteLength;
    this.parameters += data.length;
    return tensor;
  }

  async #read(name: string, shape: readonly number[]): Promise<Float32Array> {
    const entry = this.checkpoint.expectTensor(name, shape);
    const data = await this.checkpoint.readF32(name);
    this.#onBytes(entry.bytes, name);
    return data;
  }

  #format(name: string, shape: readonly number[]): WeightFormat {
    const { dtype } = this.checkpoint.expectTensor(name, shape);
    const format = formats[dtype];
    if (format) return format;
    throw new EngineError("unsupported_model", `${name} is stored as ${dtype}; F32, F16 and BF16 can be run`);
  }

  async #stream(
    { name, rows }: Rows,
    K: number,
    format: WeightFormat,
    sink: (row: number, bytes: Uint8Array) => void,
    range: readonly [number, number] = [0, rows],
  ): Promise<void> {
    const from = formats[this.checkpoint.expectTensor(name, [rows, K]).dtype]!;
    await this.checkpoint.stream(name, { rows: range, chunkBytes }, async (bytes, row) => {
      sink(row, from === format ? bytes : widen(bytes, from));
      this.#onBytes(
        bytes.byteLength,
        row + bytes.byteLength / (K * weightBytes[from]) === rows ? name : undefined,
      );
      await this.#bound(bytes.byteLength);
    });
  }

  async #bound(bytes: number): Promise<void> {
    this.#queued += bytes;
    if (this.#queued < inFlightBytes) return;
    this.#queued = 0;
    await this.gpu.device.queue.onSubmittedWorkDone();
  }
}

const formats: Readonly<Partial<Record<string, WeightFormat>>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Packed parts share one format: their own if they agree, else f32, which holds both exactly. */
function widest(all: readonly WeightFormat[]): WeightFormat {
  return all.every((format) => format === all[0]) ? all[0]! : "f32";
}

function widen(bytes: Uint8Array, from: WeightFormat): Uint8Array {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const convert = from === "bf16" ? bf16ToF32 : f16ToF32;
  return new Uint8Array(convert(halves).buffer);
}
