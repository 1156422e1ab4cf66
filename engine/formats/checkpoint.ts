// A model folder: its settings, and its tensors wherever they lie. Small tensors are read whole, large ones streamed
// through two buffers that are used again and again, so that host memory stays flat whatever the weights weigh.
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { planFolder, readJsonObject, type FolderPlan } from "./folder.ts";
import { bf16ToF32, f16ToF32 } from "./halves.ts";
import { bad, dtypeBits, isDtype, type TensorEntry } from "./header.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";

/** The most bytes of one chunk of a stream. */
export const maxChunkBytes = 4 * 2 ** 20;

type Json = Readonly<Record<string, unknown>>;
type Bytes = Uint8Array<ArrayBuffer>;

/** The formats in which weights are computed with. */
export type FloatDtype = "BF16" | "F16" | "F32";

/** A chunk of whole rows, the first of which is row `firstRow` of the tensor. `chunk` is valid until the sink returns. */
export type RowSink = (chunk: Bytes, firstRow: number) => void | Promise<void>;

/**
 * Opens a model folder; every shard's header is read and checked.
 * Errors: model_not_found, unsupported_model, bad_checkpoint; no file stays open then.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const plan = await planFolder(folder);
  const configFile = join(folder, "config.json");
  const config = await readJsonObject(configFile);
  const generationConfig = plan.found.includes("generation_config.json")
    ? await readJsonObject(join(folder, "generation_config.json"))
    : undefined;
  const files: SafetensorsFile[] = [];
  try {
    for (const name of plan.files) files.push(await openSafetensors(join(folder, name)));
    const located = locate(folder, plan, files);
    return new Checkpoint({ folder, configFile, config, generationConfig }, files, located);
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

interface Located {
  entry: TensorEntry;
  file: SafetensorsFile;
}

interface Settings {
  folder: string;
  configFile: string;
  config: Json;
  generationConfig: Json | undefined;
}

export class Checkpoint {
  readonly folder: string;
  /** Path of config.json, for messages. */
  readonly configFile: string;
  readonly config: Json;
  readonly generationConfig: Json | undefined;
  readonly names: readonly string[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, Located>;
  /** Buffers of maxChunkBytes that no stream uses now. */
  readonly #idle: Bytes[] = [];

  constructor(settings: Settings, files: readonly SafetensorsFile[], tensors: ReadonlyMap<string, Located>) {
    this.folder = settings.folder;
    this.configFile = settings.configFile;
    this.config = settings.config;
    this.generationConfig = settings.generationConfig;
    this.names = [...tensors.keys()];
    this.totalBytes = [...tensors.values()].reduce((sum, { entry }) => sum + entry.bytes, 0);
    this.#files = files;
    this.#tensors = tensors;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Errors: bad_checkpoint (no such tensor), unsupported_model (a dtype that we do not know). */
  entry(name: string): TensorEntry {
    return this.#find(name).entry;
  }

  /** The tensor, which must have this shape. Errors: as `entry`; bad_checkpoint with both shapes and the file. */
  expectTensor(name: string, shape: readonly number[]): TensorEntry {
    const entry = this.entry(name);
    if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i])) {
      throw bad(
        entry.file,
        `tensor ${name} has shape [${entry.shape.join(", ")}], config.json calls for [${shape.join(", ")}]`,
      );
    }
    return entry;
  }

  /** All bytes, as stored. For small tensors. */
  async read(name: string): Promise<Bytes> {
    const { entry, file } = this.#find(name);
    const bytes = new Uint8Array(entry.bytes);
    await file.read(entry, 0, bytes);
    return bytes;
  }

  /** All values of a bf16, f16 or f32 tensor. Errors: unsupported_model for another dtype. */
  async readF32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const dtype = floatDtype(this.entry(name));
    const { buffer } = await this.read(name);
    if (dtype === "F32") return new Float32Array(buffer);
    const bits = new Uint16Array(buffer);
    return dtype === "BF16" ? bf16ToF32(bits) : f16ToF32(bits);
  }

  /**
   * Hands `rows` [from, to) (default: all) to `sink`, in order, in chunks of as many whole rows as fit `chunkBytes`.
   * The next chunk is read while the sink works. A row is the last dimension; a vector has rows of one element.
   * Errors: bad_checkpoint; what the sink throws. Nothing is read after that.
   */
  async stream(
    name: string,
    options: { rows?: readonly [from: number, to: number]; chunkBytes?: number },
    sink: RowSink,
  ): Promise<void> {
    const { entry, file } = this.#find(name);
    const { rows, rowBytes } = rowsOf(entry);
    const [from, to] = options.rows ?? [0, rows];
    if (!(0 <= from && from <= to && to <= rows))
      throw new Error(`rows ${from} to ${to} of ${rows} (${name})`);
    const step = rowsPerChunk(entry, rowBytes, options.chunkBytes ?? maxChunkBytes);
    const read = async (row: number, buffer: Bytes) => {
      const chunk = buffer.subarray(0, Math.min(step, to - row) * rowBytes);
      await file.read(entry, row * rowBytes, chunk);
      return chunk;
    };
    const buffers: [Bytes, Bytes] = [this.#takeBuffer(), this.#takeBuffer()];
    try {
      await pump(from, to, step, buffers, read, sink);
    } finally {
      this.#idle.push(...buffers);
    }
  }

  /** Idempotent. Reading afterwards is a bug. */
  async close(): Promise<void> {
    this.#idle.length = 0;
    await Promise.all(this.#files.map((file) => file.close()));
  }

  #find(name: string): Located {
    const located = this.#tensors.get(name);
    if (!located) {
      const where = this.#files.length === 1 ? this.#files[0]!.path : this.folder;
      throw bad(where, `tensor ${name} is missing (${this.names.length} others are there)`);
    }
    const { dtype, file } = located.entry;
    if (!isDtype(dtype)) {
      throw new EngineError("unsupported_model", `${file}: tensor ${name} has the unknown dtype ${dtype}`);
    }
    return located;
  }

  #takeBuffer(): Bytes {
    return this.#idle.pop() ?? new Uint8Array(maxChunkBytes);
  }
}

/** The entry's dtype where it is one to compute with. Errors: unsupported_model. */
export function floatDtype({ dtype, name, file }: TensorEntry): FloatDtype {
  if (dtype === "BF16" || dtype === "F16" || dtype === "F32") return dtype;
  throw new EngineError(
    "unsupported_model",
    `${file}: tensor ${name} is ${dtype}; supported: BF16, F16, F32`,
  );
}

/** Reads ahead by one chunk; on return, thrown or not, no read is under way. */
async function pump(
  from: number,
  to: number,
  step: number,
  [current, next]: [Bytes, Bytes],
  read: (row: number, buffer: Bytes) => Promise<Bytes>,
  sink: RowSink,
): Promise<void> {
  let ahead = from < to ? read(from, current) : undefined;
  for (let row = from; row < to; row += step) {
    const chunk = await ahead!;
    ahead = row + step < to ? read(row + step, next) : undefined;
    ahead?.catch(() => {}); // awaited below or in the next turn: not unhandled while the sink works
    try {
      await sink(chunk, row);
    } catch (error) {
      await ahead?.catch(() => {});
      throw error;
    }
    [current, next] = [next, current];
  }
}

function rowsOf({ shape, dtype }: TensorEntry): { rows: number; rowBytes: number } {
  const columns = shape.length > 1 ? shape.at(-1)! : 1;
  const elements = shape.reduce((product, n) => product * n, 1);
  const rowBytes = (columns * dtypeBits[dtype as keyof typeof dtypeBits]) / 8;
  return { rows: columns === 0 ? 0 : elements / columns, rowBytes };
}

function rowsPerChunk(entry: TensorEntry, rowBytes: number, chunkBytes: number): number {
  if (!(chunkBytes > 0 && chunkBytes <= maxChunkBytes)) {
    throw new Error(`chunks of ${chunkBytes} bytes; at most ${maxChunkBytes}`);
  }
  if (!Number.isInteger(rowBytes))
    throw new Error(`${entry.name}: rows of ${entry.dtype} do not end at a byte`);
  if (rowBytes > chunkBytes) {
    throw bad(
      entry.file,
      `tensor ${entry.name} has rows of ${rowBytes} bytes; at most ${chunkBytes} can be streamed`,
    );
  }
  return rowBytes === 0 ? 1 : Math.floor(chunkBytes / rowBytes);
}

function locate(folder: string, plan: FolderPlan, files: readonly SafetensorsFile[]): Map<string, Located> {
  const located = new Map<string, Located>();
  if (plan.weightMap) {
    const byName = new Map(files.map((file, i) => [plan.files[i]!, file]));
    for (const [name, fileName] of plan.weightMap) {
      const file = byName.get(fileName)!;
      const entry = file.tensors.get(name);
      if (!entry)
        throw bad(file.path, `lacks tensor ${name}, which model.safetensors.index.json places in it`);
      located.set(name, { entry, file });
    }
    return located;
  }
  for (const file of files) {
    for (const [name, entry] of file.tensors) {
      const other = located.get(name);
      if (other) throw bad(folder, `tensor ${name} is in both ${other.entry.file} and ${entry.file}`);
      located.set(name, { entry, file });
    }
  }
  return located;
}
