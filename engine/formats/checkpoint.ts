// A checkpoint: a model's settings, and its tensors wherever they lie, in a folder of safetensors or in a GGUF file.
// Small tensors are read whole, large ones streamed through two buffers that are used again and again, so that host
// memory stays flat whatever the weights weigh.
import { basename, join } from "node:path";
import { EngineError } from "../errors.ts";
import { dequantise } from "./blocks/dequantise.ts";
import { blockFormats, blockTypes, isBlockType, type BlockType } from "./blocks/format.ts";
import { planFolder, readJsonObject, type FolderPlan } from "./folder.ts";
import { openGgufContents, type GgufTensor } from "./gguf/checkpoint.ts";
import { bf16ToF32, f16ToF32 } from "./halves.ts";
import { bad, dtypeBits, isDtype, type TensorEntry } from "./header.ts";
import { blockTypeOf, locateModel } from "./locate.ts";
import { byTurns, inHalves } from "./rows.ts";
import { openSafetensors, type SafetensorsFile, type TensorFile } from "./safetensors.ts";

/** The most bytes of one chunk of a stream. */
export const maxChunkBytes = 4 * 2 ** 20;

type Json = Readonly<Record<string, unknown>>;
type Bytes = Uint8Array<ArrayBuffer>;

/** The formats in which weights are computed with: plain ones, and GGUF's blocks. */
export type FloatDtype = "BF16" | "F16" | "F32";
export type WeightDtype = FloatDtype | BlockType;

/** A chunk of whole rows, the first of which is row `firstRow` of the tensor. `chunk` is valid until the sink returns. */
export type RowSink = (chunk: Bytes, firstRow: number) => void | Promise<void>;

/**
 * Opens a model folder, or a GGUF file (named, or chosen in its folder by `quant`); every header is read and checked.
 * Where no file was chosen by it, `quant` is the type that the matrices are to be quantised to, or the one they have.
 * Errors: model_not_found, unsupported_model, bad_checkpoint, bad_request; no file stays open then.
 */
export async function openCheckpoint(path: string, quant?: string): Promise<Checkpoint> {
  const place = await locateModel(path, quant);
  const wanted = place.kind === "gguf" && place.named ? undefined : quant;
  return place.kind === "gguf" ? openGgufCheckpoint(place.file, wanted) : openFolder(place.folder, wanted);
}

async function openFolder(folder: string, quant: string | undefined): Promise<Checkpoint> {
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
    const wanted = { format: "safetensors" as const, quant: quantOf(folder, located, quant) };
    return new Checkpoint({ ...wanted, folder, configFile, config, generationConfig }, files, located);
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

async function openGgufCheckpoint(path: string, quant: string | undefined): Promise<Checkpoint> {
  const { files, tensors, ...contents } = await openGgufContents(path);
  try {
    const wanted = { format: "gguf" as const, quant: quantOf(path, tensors, quant) };
    return new Checkpoint({ ...wanted, ...contents, folder: path, configFile: path }, files, tensors);
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/** What is left to do for a quantisation that was asked for: nothing where the matrices have it. */
function quantOf(
  path: string,
  tensors: ReadonlyMap<string, Located>,
  quant: string | undefined,
): BlockType | undefined {
  if (quant === undefined) return undefined;
  const matrices = [...tensors.values()].filter(
    ({ entry: { name, shape } }) => shape.length === 2 && !name.includes("visual."), // towers stay as they are
  );
  const dtypes = new Set(matrices.map(({ entry }) => entry.dtype));
  const wanted = blockTypeOf(quant);
  if (dtypes.has(wanted ?? quant.toUpperCase())) return undefined;
  const has = [...dtypes].join(", ");
  if (wanted && !matrices.some(({ entry }) => isBlockType(entry.dtype))) return wanted;
  const list = blockTypes.map((type) => type.toLowerCase()).join(", ");
  const what = wanted ? `cannot be made of it` : `is not what it has; one of ${list} can be made of floats`;
  throw new EngineError("bad_request", `quant: ${path} holds ${has}; ${quant} ${what}`);
}

/** A tensor and its file; those of GGUF files may have been changed on their way into it. */
type Located = GgufTensor;

interface Settings {
  format: "safetensors" | "gguf";
  folder: string;
  configFile: string;
  config: Json;
  generationConfig: Json | undefined;
  /** preprocessor_config.json, where it is no file of the folder. */
  preprocessor?: Json | undefined;
  quant: BlockType | undefined;
}

/** What a loader reads: a checkpoint, or a view of one. */
export type TensorSource = Pick<
  Checkpoint,
  "format" | "quant" | "folder" | "has" | "entry" | "expectTensor" | "readF32" | "stream"
> &
  Partial<Pick<Checkpoint, "readRows">>;

export class Checkpoint {
  /** The folder, or the GGUF file. */
  readonly folder: string;
  /** Path of config.json (or of the file whose metadata stands for it), for messages. */
  readonly configFile: string;
  readonly config: Json;
  readonly generationConfig: Json | undefined;
  /** How pictures are prepared, where no preprocessor_config.json of the folder says it. */
  readonly preprocessor: Json | undefined;
  /** What its matrices of floats are to be quantised to. */
  readonly quant: BlockType | undefined;
  readonly format: "safetensors" | "gguf";
  readonly names: readonly string[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  readonly #files: readonly TensorFile[];
  readonly #tensors: ReadonlyMap<string, Located>;
  /** Buffers of maxChunkBytes that no stream uses now. */
  readonly #idle: Bytes[] = [];

  constructor(settings: Settings, files: readonly TensorFile[], tensors: ReadonlyMap<string, Located>) {
    this.folder = settings.folder;
    this.configFile = settings.configFile;
    this.config = settings.config;
    this.generationConfig = settings.generationConfig;
    this.preprocessor = settings.preprocessor;
    this.quant = settings.quant;
    this.format = settings.format;
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
      const settings = this.configFile === entry.file ? "its metadata" : basename(this.configFile);
      throw bad(
        entry.file,
        `tensor ${name} has shape [${entry.shape.join(", ")}], ${settings} calls for [${shape.join(", ")}]`,
      );
    }
    return entry;
  }

  /** All bytes, as stored. For small tensors. */
  async read(name: string): Promise<Bytes> {
    const { entry, file, pairedRows, pieces } = this.#find(name);
    const bytes = new Uint8Array(entry.bytes);
    if (pieces) {
      const parts = pieces.of.map((part) => new Uint8Array(part.bytes));
      for (const [i, part] of pieces.of.entries()) await file.read(part, 0, parts[i]!);
      return byTurns(parts, pieces.bytes);
    }
    await file.read(entry, 0, bytes);
    return pairedRows === undefined ? bytes : inHalves(bytes, rowsOf(entry).rowBytes, pairedRows);
  }

  /** All values of a tensor. Errors: unsupported_model for a dtype that no weight has. */
  async readF32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const { entry, value } = this.#find(name);
    const values = valuesOf(weightDtype(entry), await this.read(name));
    return value ? values.map(value) : values;
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
    const { entry, file, pairedRows, pieces } = this.#find(name);
    if (pieces) throw new Error(`${name} lies in pieces: it is read whole`);
    const { rows, rowBytes } = rowsOf(entry);
    const [from, to] = options.rows ?? [0, rows];
    if (!(0 <= from && from <= to && to <= rows))
      throw new Error(`rows ${from} to ${to} of ${rows} (${name})`);
    const step = rowsPerChunk(entry, rowBytes, options.chunkBytes ?? maxChunkBytes, pairedRows ?? 1);
    if (pairedRows !== undefined && (from % pairedRows !== 0 || to % pairedRows !== 0)) {
      throw new Error(`rows ${from} to ${to} of ${name} are not whole heads of ${pairedRows}`);
    }
    const read = async (row: number, buffer: Bytes) => {
      const chunk = buffer.subarray(0, Math.min(step, to - row) * rowBytes);
      await file.read(entry, row * rowBytes, chunk);
      return pairedRows === undefined ? chunk : inHalves(chunk, rowBytes, pairedRows);
    };
    const buffers: [Bytes, Bytes] = [this.#takeBuffer(), this.#takeBuffer()];
    try {
      await pump(from, to, step, buffers, read, sink);
    } finally {
      this.#idle.push(...buffers);
    }
  }

  /**
   * Reads rows from `from` on, each into its own place, with nothing in between. False, with nothing read, where they
   * do not lie in the file one after another as they are. Errors: bad_checkpoint.
   */
  async readRows(name: string, from: number, places: readonly Uint8Array[]): Promise<boolean> {
    const { entry, file, pairedRows, pieces } = this.#find(name);
    if (pairedRows !== undefined || pieces) return false;
    await file.readInto(entry, from * rowsOf(entry).rowBytes, places);
    return true;
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
    if (!isDtype(dtype) && !isBlockType(dtype)) {
      throw new EngineError("unsupported_model", `${file}: tensor ${name} has the unknown dtype ${dtype}`);
    }
    return located;
  }

  #takeBuffer(): Bytes {
    return this.#idle.pop() ?? new Uint8Array(maxChunkBytes);
  }
}

/** The entry's dtype where it is one to compute with. Errors: unsupported_model. */
export function weightDtype({ dtype, name, file }: TensorEntry): WeightDtype {
  if (dtype === "BF16" || dtype === "F16" || dtype === "F32" || isBlockType(dtype)) return dtype;
  const list = ["BF16", "F16", "F32", ...blockTypes].join(", ");
  throw new EngineError("unsupported_model", `${file}: tensor ${name} is ${dtype}; supported: ${list}`);
}

function valuesOf(dtype: WeightDtype, bytes: Bytes): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype === "BF16") return bf16ToF32(new Uint16Array(bytes.buffer));
  if (dtype === "F16") return f16ToF32(new Uint16Array(bytes.buffer));
  return dequantise(dtype, bytes);
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
  const elements = shape.reduce((product, n) => product * n, 1);
  const columns = shape.length > 1 || isBlockType(dtype) ? (shape.at(-1) ?? 0) : 1;
  if (isBlockType(dtype)) {
    const { values, bytes } = blockFormats[dtype];
    return { rows: columns === 0 ? 0 : elements / columns, rowBytes: (columns / values) * bytes };
  }
  const rowBytes = (columns * dtypeBits[dtype as keyof typeof dtypeBits]) / 8;
  return { rows: columns === 0 ? 0 : elements / columns, rowBytes };
}

/** As many rows as fit, a multiple of `group`. */
function rowsPerChunk(entry: TensorEntry, rowBytes: number, chunkBytes: number, group: number): number {
  if (!(chunkBytes > 0 && chunkBytes <= maxChunkBytes)) {
    throw new Error(`chunks of ${chunkBytes} bytes; at most ${maxChunkBytes}`);
  }
  if (!Number.isInteger(rowBytes))
    throw new Error(`${entry.name}: rows of ${entry.dtype} do not end at a byte`);
  if (rowBytes === 0) return group;
  const groups = Math.floor(chunkBytes / (rowBytes * group));
  if (groups > 0) return groups * group;
  const least = group === 1 ? `rows of ${rowBytes} bytes` : `heads of ${group} rows of ${rowBytes} bytes`;
  throw bad(entry.file, `tensor ${entry.name} has ${least}; at most ${chunkBytes} can be streamed`);
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
