// From the checkpoint's tensors to weights on the device. Matrices that read the same input are packed into one, so
// that one dispatch computes them all. A weight is there as soon as it is asked for, and empty: `fill` brings the bytes
// of all of them, in the order of the files, while kernels that will read them compile. Bytes flow in chunks: host
// memory stays flat however large the checkpoint is, and what has to be repacked or quantised is while others are read.
import { isBlockType } from "../formats/blocks/format.ts";
import { maxChunkBytes, weightDtype, type TensorSource, type WeightDtype } from "../formats/checkpoint.ts";
import { storedRowBytes, toF32, type Conversion } from "../formats/quantise/convert.ts";
import { serialConverter, type Converter } from "../formats/quantise/pool.ts";
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { weightsWritten } from "../gpu/plan.ts";
import { calmly } from "../gpu/polls.ts";
import {
  elements,
  free,
  permanent,
  weightRowBytes,
  type Tensor,
  type Weight,
  type WeightFormat,
} from "../gpu/tensor.ts";
import { finishTiles } from "../gpu/tileWriter.ts";
import { createWeight, writeRows, type Section } from "../gpu/weight.ts";
import { alternating, bytesOf, placeOf, sectionsOf, type Part, type Rows } from "./parts.ts";
import { formatOf, keptAs } from "./quantRule.ts";

export type { Rows };

/** Bytes handed to the queue before the ones before them are waited for: staging memory must not grow with the checkpoint. */
const windowBytes = 32 << 20;
/** Tensors under way at once: while one is written, others are read. */
export const tensorsAtOnce = 3;

export interface LoaderOptions {
  /** What repacks and quantises; default: this thread. */
  readonly converter?: Converter;
  readonly onBytes?: (bytes: number, tensor?: string) => void;
}

type Bytes = Uint8Array<ArrayBuffer>;
type Use = (rows: Uint8Array) => void;
/** Hands rows of a weight, or of a part of one, to the queue. */
type Write = (row: number, rows: Uint8Array) => void;

/** What fills a weight, or a part of one, and where its bytes begin. */
interface Errand {
  readonly file: string;
  readonly offset: number;
  readonly run: () => Promise<void>;
}

export class Loader {
  readonly checkpoint: TensorSource;
  readonly gpu: Gpu;
  readonly #made: (Tensor | Weight)[] = [];
  readonly #options: Required<LoaderOptions>;
  /** In the order of the files, the first one last; sorted when needed. */
  readonly #errands: Errand[] = [];
  #sorted = true;
  /** Of chunks, and of no use at the moment. */
  readonly #memory: Bytes[] = [];
  /** Conversions under way. */
  readonly #tasks = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
  #filling: Promise<void> = Promise.resolve();
  #queued = 0;
  #uploaded: Promise<unknown> = Promise.resolve();
  /** Bytes of weights on the device. */
  bytes = 0;
  /** Of matrices, by what they are kept as. */
  readonly #bytesAs = new Map<WeightFormat, number>();
  /** Distinct parameters. */
  parameters = 0;

  constructor(gpu: Gpu, checkpoint: TensorSource, options: LoaderOptions = {}) {
    this.gpu = gpu;
    this.checkpoint = checkpoint;
    this.#options = { converter: serialConverter, onBytes: () => undefined, ...options };
  }

  /** What most bytes of matrices are kept as; f32 before there is one. */
  get mainFormat(): WeightFormat {
    return [...this.#bytesAs].sort(([, a], [, b]) => b - a)[0]?.[0] ?? "f32";
  }

  /** A small tensor in f32, whatever the checkpoint keeps it in; `as` drops axes of one. */
  async vector(name: string, shape: readonly number[], as = shape): Promise<Tensor> {
    const { bytes } = this.checkpoint.expectTensor(name, shape);
    const tensor = this.#permanent(name, as);
    this.#later(name, async () => {
      this.#write(tensor, await this.checkpoint.readF32(name));
      this.#options.onBytes(bytes, name);
    });
    return Promise.resolve(tensor);
  }

  /** Vectors end to end; absent ones are zero. */
  async vectors(parts: readonly Rows[]): Promise<Tensor> {
    const total = parts.reduce((sum, part) => sum + part.rows, 0);
    const tensor = this.#permanent(parts[0]!.name, [total]);
    let first = 0;
    for (const { name, rows } of parts) {
      const at = first;
      first += rows;
      if (!this.checkpoint.has(name)) continue;
      const { bytes } = this.checkpoint.expectTensor(name, [rows]);
      this.#later(name, async () => {
        this.#write(tensor, await this.checkpoint.readF32(name), at);
        this.#options.onBytes(bytes, name);
      });
    }
    return Promise.resolve(tensor);
  }

  /**
   * W [rows, K], or several such matrices one below the other; each keeps its own format, and, if they are to stay apart,
   * has its own shards. `whole`: in as few shards as there can be.
   */
  async matrix(rows: readonly Rows[], K: number, { apart = false, whole = false } = {}): Promise<Weight> {
    const parts = rows.map((part) => this.#part(part, K));
    const weight = this.#weight(parts[0]!.name, K, sectionsOf(parts, apart), whole);
    let first = 0;
    for (const part of parts) {
      const at = first;
      first += part.rows;
      const write = (row: number, rows: Uint8Array) => writeRows(this.gpu, weight, at + row, rows);
      this.#later(part.name, () => this.#eachChunk(part, K, write), placeOf(part, K));
    }
    return Promise.resolve(weight);
  }

  /**
   * Two matrices [rows, K] with their rows interleaved: even rows of the first, odd rows of the second. Where the
   * checkpoint keeps them in different formats, both are widened to f32.
   */
  async interleaved(even: Rows, odd: Rows, K: number): Promise<Weight> {
    return this.interleavedPairs([[even, odd]], K);
  }

  /** The same of several such pairs, one below the other. `whole`: as of `matrix`. */
  async interleavedPairs(
    pairs: readonly (readonly [even: Rows, odd: Rows])[],
    K: number,
    { whole = false } = {},
  ): Promise<Weight> {
    const parts = pairs.map(([even, odd]) => [this.#part(even, K), this.#part(odd, K)] as const);
    const dtypes = new Set(parts.flatMap(([even, odd]) => [even.to, odd.to]));
    const to: WeightDtype = dtypes.size === 1 ? parts[0]![0].to : "F32";
    const format = formatOf(to);
    const total = parts.reduce((sum, [even]) => sum + 2 * even.rows, 0);
    const weight = this.#weight(pairs[0]![0].name, K, [{ rows: total, format }], whole);
    let first = 0;
    for (const [even, odd] of parts) {
      const at = first;
      first += 2 * even.rows;
      const write = (row: number, rows: Uint8Array) => writeRows(this.gpu, weight, at + 2 * row, rows);
      const [a, b] = [
        { ...even, to },
        { ...odd, to },
      ];
      const fill = async () =>
        (await this.#pairsInPlace(a, b, K, write)) ? undefined : this.#eachPair(a, b, K, write);
      this.#later(even.name, fill, placeOf(even, K));
    }
    return Promise.resolve(weight);
  }

  /**
   * Reads, converts and uploads all that was asked for, until it is there; what is asked for meanwhile as well. May be
   * called again for the rest. Errors: bad_checkpoint, with the tensor's name; nothing is written any more then.
   */
  fill(): Promise<void> {
    this.#filling = this.#filling.then(() => this.#drain());
    return this.#filling;
  }

  /** Fills while `build` runs, which may ask for more. When either fails, nothing is written any more. */
  async fillBeside<T>(build: () => Promise<T>): Promise<T> {
    this.fill().catch(() => undefined); // told by the other one below
    try {
      const built = await build();
      await this.fill();
      return built;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends a `fill` under way: afterwards nothing is written any more. */
  async stop(): Promise<void> {
    this.#failure ??= { error: new Error("the loader was stopped") };
    await this.#filling.catch(() => undefined);
  }

  /** Frees everything this loader made. */
  dispose(): void {
    free(...this.#made.splice(0));
  }

  #part({ name, rows, first = 0, ...whole }: Rows, K: number): Part {
    const shape = whole.shape ?? [rows, K];
    const from = weightDtype(this.checkpoint.expectTensor(name, shape));
    return { name, rows, first, shape, from, to: keptAs(name, from, K, this.checkpoint.quant) };
  }

  #weight(label: string, K: number, sections: readonly Section[], whole = false): Weight {
    const N = sections.reduce((sum, { rows }) => sum + rows, 0);
    const weight = createWeight(this.gpu, label, [N, K], sections, { whole });
    this.#made.push(weight);
    for (const { rows, format } of sections) {
      const bytes = rows * weightRowBytes(format, K);
      this.bytes += bytes;
      this.#bytesAs.set(format, (this.#bytesAs.get(format) ?? 0) + bytes);
    }
    this.parameters += N * K;
    return weight;
  }

  #permanent(label: string, shape: readonly number[]): Tensor {
    const tensor = permanent(this.gpu, label, shape);
    this.#made.push(tensor);
    this.bytes += tensor.storage.bytes;
    this.parameters += tensor.storage.bytes / 4;
    return tensor;
  }

  #write({ storage }: Tensor, values: Float32Array<ArrayBuffer>, at = 0): void {
    this.gpu.device.queue.writeBuffer(storage.buffer!, 4 * at, values);
  }

  /** `at`: where in the tensor it begins, bytes. */
  #later(name: string, run: () => Promise<void>, at = 0): void {
    const { file, offset } = this.checkpoint.entry(name);
    this.#errands.push({ file, offset: offset + at, run });
    this.#sorted = false;
  }

  async #drain(): Promise<void> {
    await Promise.all(Array.from({ length: tensorsAtOnce }, () => this.#work()));
    await Promise.all(this.#tasks); // so that none outlives the buffers it writes to
    this.#memory.length = 0;
    finishTiles(this.gpu);
    if (this.#failure) throw this.#failure.error;
    weightsWritten(this.gpu);
    await calmly(this.gpu.device.queue.onSubmittedWorkDone());
  }

  async #work(): Promise<void> {
    for (let errand = this.#next(); errand && !this.#failure; errand = this.#next()) {
      await errand.run().catch((error: unknown) => void (this.#failure ??= { error }));
    }
  }

  #next(): Errand | undefined {
    if (!this.#sorted) {
      this.#errands.sort((a, b) => (a.file === b.file ? b.offset - a.offset : a.file < b.file ? 1 : -1));
      this.#sorted = true;
    }
    return this.#errands.pop();
  }

  /** Hands a matrix to `write` as it is to be kept, chunk by chunk, in any order; the last when its #tasks are done. */
  async #eachChunk(part: Part, K: number, write: Write): Promise<void> {
    const direct = part.from === part.to && !isBlockType(part.to);
    const rows = [part.first, part.first + part.rows] as const;
    await this.checkpoint.stream(part.name, { rows }, async (bytes, at) => {
      const row = at - part.first;
      if (direct) write(row, bytes);
      else await this.#start(this.#converted(part, K, bytes, (rows) => write(row, rows)));
      this.#progress(part, at, K, bytes.length);
      await this.#bound(bytes.length);
    });
  }

  /**
   * Two matrices whose rows go by turns, kept as they are stored: each row is read to where it belongs, and copied no
   * more before the queue takes it. False, with nothing done, where that cannot be.
   */
  async #pairsInPlace(a: Part, b: Part, K: number, write: Write): Promise<boolean> {
    const { checkpoint } = this;
    if (!checkpoint.readRows || isBlockType(a.to) || a.from !== a.to || b.from !== b.to) return false;
    const rowBytes = storedRowBytes(a.from, K);
    const step = Math.floor(maxChunkBytes / (2 * rowBytes));
    if (step === 0) return false;
    const both = this.#takeMemory();
    const place = (i: number) => both.subarray(i * rowBytes, (i + 1) * rowBytes);
    for (let row = 0; row < a.rows; row += step) {
      const rows = Math.min(step, a.rows - row);
      const places = (odd: 0 | 1) => Array.from({ length: rows }, (_, i) => place(2 * i + odd));
      const read = await Promise.all([
        checkpoint.readRows(a.name, a.first + row, places(0)),
        checkpoint.readRows(b.name, b.first + row, places(1)),
      ]);
      if (!read.every(Boolean)) return false;
      write(row, both.subarray(0, 2 * rows * rowBytes));
      for (const part of [a, b]) this.#progress(part, part.first + row, K, rows * rowBytes);
      await this.#bound(2 * rows * rowBytes);
    }
    this.#memory.push(both);
    return true;
  }

  /** The same for two matrices of one shape, whose rows go together. */
  async #eachPair(a: Part, b: Part, K: number, write: Write): Promise<void> {
    const memory = [this.#takeMemory(), this.#takeMemory()] as const;
    const widest = Math.max(storedRowBytes(a.from, K), storedRowBytes(b.from, K));
    const step = Math.max(1, Math.floor(maxChunkBytes / widest));
    for (let row = 0; row < a.rows; row += step) {
      const range = [row, Math.min(a.rows, row + step)] as const;
      const [ofA, ofB] = await Promise.all([
        this.#stored(a, K, range, memory[0]),
        this.#stored(b, K, range, memory[1]),
      ]);
      await this.#start(this.#pairConverted(a, b, K, ofA, ofB, (rows) => write(row, rows)));
      await this.#bound(ofA.length + ofB.length);
    }
    this.#memory.push(...memory);
  }

  /** Rows of a matrix as they are stored, in some memory. */
  async #stored(part: Part, K: number, rows: readonly [number, number], memory: Bytes): Promise<Bytes> {
    const [from, to] = rows;
    const own = [part.first + from, part.first + to] as const;
    const all = memory.subarray(0, (to - from) * storedRowBytes(part.from, K));
    if (await this.checkpoint.readRows?.(part.name, own[0], [all])) {
      this.#progress(part, own[0], K, all.length);
      return all;
    }
    let end = 0;
    await this.checkpoint.stream(part.name, { rows: own }, (bytes, at) => {
      memory.set(bytes, end);
      end += bytes.length;
      this.#progress(part, at, K, bytes.length);
    });
    return all;
  }

  /** Hands stored rows to `use` as they are to be kept. They may be changed meanwhile. Errors: as `#blocks`. */
  async #converted({ name, from, to }: Part, K: number, rows: Bytes, use: Use): Promise<void> {
    if (to === "F32") use(bytesOf(toF32(from, rows)));
    else if (isBlockType(to)) await this.#blocks([name], { from, to, K, rows }, use);
    else use(rows);
  }

  /** The same of two matrices' rows, which go by turns. */
  async #pairConverted(a: Part, b: Part, K: number, ofA: Bytes, ofB: Bytes, use: Use): Promise<void> {
    const [from, to] = [a.from, a.to];
    if (isBlockType(to)) {
      const job = { from, to, K, rows: ofA, between: { from: b.from, rows: ofB } };
      return this.#blocks([a.name, b.name], job, use);
    }
    const kept = (part: Part, rows: Bytes) => (to === "F32" ? bytesOf(toF32(part.from, rows)) : rows);
    use(alternating(kept(a, ofA), kept(b, ofB), weightRowBytes(formatOf(to), K)));
  }

  /** Nothing is used once the load has failed. Errors: bad_checkpoint with the tensors' names. */
  async #blocks(names: readonly string[], job: Conversion, use: Use): Promise<void> {
    try {
      await this.#options.converter.convert(job, (rows) => (this.#failure ? undefined : use(rows)));
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(
        error.code,
        `${this.checkpoint.folder}: tensor ${names.join(" or ")}: ${error.message}`,
      );
    }
  }

  #takeMemory(): Bytes {
    return this.#memory.pop() ?? new Uint8Array(maxChunkBytes);
  }

  /** Lets a task run beside others; waits where there are enough of them. Throws what an earlier one failed with. */
  async #start(task: Promise<void>): Promise<void> {
    const tracked = task
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
    while (this.#tasks.size > this.#options.converter.width) await Promise.race(this.#tasks);
    if (this.#failure) throw this.#failure.error;
  }

  /** A tensor is done with its last row. */
  #progress({ name, shape, from }: Part, row: number, K: number, bytes: number): void {
    const done = row + bytes / storedRowBytes(from, K) === elements(shape) / K;
    this.#options.onBytes(bytes, done ? name : undefined);
  }

  /** Lets what was handed over get ahead by no more than it should. Throws what a task failed with. */
  async #bound(bytes: number): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    this.#queued += bytes;
    if (this.#queued < windowBytes) return;
    this.#queued = 0;
    const before = this.#uploaded;
    this.#uploaded = calmly(this.gpu.device.queue.onSubmittedWorkDone());
    await before;
  }
}
