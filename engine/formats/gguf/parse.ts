// The head of a GGUF file, checked in full before any of its numbers is used:
//   "GGUF" · version u32 · tensors u64 · keys u64 · keys × (name, type u32, value)
//   · tensors × (name, dimensions u32, innermost first u64…, type u32, offset u64) · padding · the data
// Strings have their length (u64) in front. Nothing says how long the head is: whoever parses it gives what has been
// read so far, and more when that was not enough. Relaxed is one rule: an element type that we do not know is refused
// when the tensor is asked for.
import { bad, maxHeaderBytes, type TensorEntry } from "../header.ts";
import {
  defaultAlignment,
  elementTypes,
  valueBytes,
  valueTypes,
  type GgufValue,
  type Metadata,
} from "./types.ts";

export interface GgufHead {
  readonly version: 2 | 3;
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

const maxDimensions = 4;
const maxDepth = 4;
/** In all arrays together: several times what the largest vocabularies take, and no danger to the process. */
const maxValues = 2 ** 24;

/**
 * Parses the head from a file's first bytes; undefined when it is longer than those.
 * Errors: bad_checkpoint, naming file, tensor or key, and value.
 */
export function parseHead(first: Uint8Array, file: string, fileBytes: number): GgufHead | undefined {
  const cursor = new Cursor(first, file, fileBytes);
  try {
    const version = readVersion(cursor);
    const tensorCount = cursor.count("tensors", 24);
    const keyCount = cursor.count("metadata keys", 13);
    const metadata = readMetadata(cursor, keyCount);
    const infos = readInfos(cursor, tensorCount);
    return { version, metadata, tensors: placed(infos, cursor, alignmentOf(metadata, file)) };
  } catch (error) {
    if (error === needMore) return undefined;
    throw error;
  }
}

const needMore = new Error("the head is longer than what has been read");

class Cursor {
  readonly file: string;
  readonly fileBytes: number;
  at = 0;
  #values = 0;
  /** What is being read, for messages. */
  subject = "the header";
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #strict = new TextDecoder("utf-8", { fatal: true });
  readonly #lenient = new TextDecoder();

  constructor(bytes: Uint8Array, file: string, fileBytes: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.file = file;
    this.fileBytes = fileBytes;
  }

  /** Steps over `count` bytes and says where they begin. */
  take(count: number): number {
    const from = this.at;
    if (from + count > this.fileBytes) {
      throw this.bad(`ends within ${this.subject}, at byte ${this.fileBytes}: truncated or damaged`);
    }
    if (from + count > maxHeaderBytes)
      throw this.bad(`has a head of more than ${maxHeaderBytes} bytes: damaged`);
    if (from + count > this.#bytes.length) throw needMore;
    this.at += count;
    return from;
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.take(8), true);
  }

  /** A number of things that take at least `bytes` each, so that the file must have room for them. */
  count(what: string, bytes: number): number {
    const count = this.u64();
    if (count * BigInt(bytes) > BigInt(this.fileBytes - this.at)) {
      throw this.bad(`claims ${count} ${what} in ${this.fileBytes} bytes: truncated or damaged`);
    }
    return Number(count);
  }

  /** How many values an array has. */
  length(of: (typeof valueTypes)[number]): number {
    const length = this.count(`values in ${this.subject}`, valueBytes[of]);
    this.#values += length;
    if (this.#values <= maxValues) return length;
    throw this.bad(
      `has ${this.#values} values in its metadata, up to ${this.subject}: damaged; at most ${maxValues}`,
    );
  }

  /** A name: UTF-8, not empty. */
  name(what: string): string {
    this.subject = what;
    const bytes = this.#text(what);
    try {
      if (bytes.length > 0) return this.#strict.decode(bytes);
    } catch {
      throw this.bad(`has ${what} that is not UTF-8`);
    }
    throw this.bad(`has ${what} that is empty`);
  }

  scalar(type: (typeof valueTypes)[number]): GgufValue {
    const view = this.#view;
    switch (type) {
      case "u8":
        return view.getUint8(this.take(1));
      case "i8":
        return view.getInt8(this.take(1));
      case "u16":
        return view.getUint16(this.take(2), true);
      case "i16":
        return view.getInt16(this.take(2), true);
      case "u32":
        return view.getUint32(this.take(4), true);
      case "i32":
        return view.getInt32(this.take(4), true);
      case "f32":
        return view.getFloat32(this.take(4), true);
      case "f64":
        return view.getFloat64(this.take(8), true);
      case "u64":
        return numberIfSafe(this.u64());
      case "i64":
        return numberIfSafe(view.getBigInt64(this.take(8), true));
      case "bool":
        return this.#bool();
      case "string":
        return this.#lenient.decode(this.#text(this.subject));
      case "array":
        throw new Error("an array is no scalar");
    }
  }

  bad(what: string) {
    return bad(this.file, what);
  }

  #bool(): boolean {
    const value = this.#view.getUint8(this.take(1));
    if (value > 1) throw this.bad(`${this.subject} is the boolean ${value}, which is neither 0 nor 1`);
    return value === 1;
  }

  #text(what: string): Uint8Array {
    const length = this.u64();
    if (length > BigInt(this.fileBytes - this.at)) {
      throw this.bad(`claims ${length} bytes for ${what}, at byte ${this.at}: truncated or damaged`);
    }
    const from = this.take(Number(length));
    return this.#bytes.subarray(from, from + Number(length));
  }
}

function numberIfSafe(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readVersion(cursor: Cursor): 2 | 3 {
  const { file, fileBytes } = cursor;
  if (fileBytes < 24) throw bad(file, `is ${fileBytes} bytes long: too short for a GGUF file`);
  const magic = cursor.u32();
  if (magic === 0x7372_6576)
    throw bad(file, "is a Git LFS pointer, not the weights themselves; run `git lfs pull` in its folder");
  if (magic !== 0x4655_4747) throw bad(file, `begins with ${hex(magic)} and not with "GGUF"`);
  const version = cursor.u32();
  if (version === 2 || version === 3) return version;
  if (version > 0xffff) throw bad(file, "is a big-endian GGUF file; supported: little-endian");
  throw bad(file, `is GGUF version ${version}; supported: 2 and 3`);
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}

function readMetadata(cursor: Cursor, count: number): Metadata {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.name(`metadata key ${i}`);
    if (metadata.has(key)) throw cursor.bad(`has the metadata key ${JSON.stringify(key)} twice`);
    cursor.subject = `metadata ${key}`;
    metadata.set(key, readValue(cursor));
  }
  return metadata;
}

function readValue(cursor: Cursor): GgufValue {
  const type = readType(cursor);
  return type === "array" ? readArray(cursor, 1) : cursor.scalar(type);
}

function readArray(cursor: Cursor, depth: number): GgufValue[] {
  if (depth > maxDepth) throw cursor.bad(`${cursor.subject} has arrays more than ${maxDepth} deep`);
  const of = readType(cursor);
  const length = cursor.length(of);
  const values: GgufValue[] = [];
  for (let i = 0; i < length; i++) {
    values.push(of === "array" ? readArray(cursor, depth + 1) : cursor.scalar(of));
  }
  return values;
}

function readType(cursor: Cursor): (typeof valueTypes)[number] {
  const number = cursor.u32();
  const type = valueTypes[number];
  if (type === undefined) throw cursor.bad(`${cursor.subject} has the unknown value type ${number}`);
  return type;
}

interface Info {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Undefined for a type that we do not know. */
  readonly bytes: number | undefined;
  /** Relative to the data. */
  readonly offset: bigint;
}

function readInfos(cursor: Cursor, count: number): Info[] {
  const infos = new Map<string, Info>();
  for (let i = 0; i < count; i++) {
    const name = cursor.name(`the name of tensor ${i}`);
    if (infos.has(name)) throw cursor.bad(`has tensor ${JSON.stringify(name)} twice`);
    cursor.subject = `tensor ${JSON.stringify(name)}`;
    infos.set(name, readInfo(cursor, name));
  }
  return [...infos.values()];
}

function readInfo(cursor: Cursor, name: string): Info {
  const rank = cursor.u32();
  if (rank > maxDimensions)
    throw cursor.bad(`${cursor.subject} has ${rank} dimensions; at most ${maxDimensions}`);
  const sizes = Array.from({ length: rank }, () => cursor.u64());
  const total = sizes.reduce((product, size) => product * size, 1n);
  const shown = `[${sizes.toReversed().join(", ")}]`;
  if (
    total > BigInt(Number.MAX_SAFE_INTEGER) ||
    sizes.some((size) => size > BigInt(Number.MAX_SAFE_INTEGER))
  ) {
    throw cursor.bad(`${cursor.subject} has shape ${shown}, of more than 2^53 values`);
  }
  const type = cursor.u32();
  const known = elementTypes.get(type);
  const shape = sizes.map(Number).toReversed();
  const offset = cursor.u64();
  if (!known) return { name, dtype: `GGML type ${type}`, shape, bytes: undefined, offset };
  const columns = rank === 0 ? 1 : Number(sizes[0]);
  if (columns % known.values !== 0) {
    throw cursor.bad(
      `${cursor.subject} is ${known.name} ${shown}: rows are not whole blocks of ${known.values}`,
    );
  }
  return { name, dtype: known.name, shape, bytes: (Number(total) / known.values) * known.bytes, offset };
}

function alignmentOf(metadata: Metadata, file: string): number {
  const alignment = metadata.get("general.alignment") ?? defaultAlignment;
  if (typeof alignment === "number" && alignment > 0 && alignment % 8 === 0) return alignment;
  throw bad(file, `metadata general.alignment is ${String(alignment)}: a multiple of 8 is expected`);
}

/** Where every tensor lies: within the data, aligned, and apart from the others. */
function placed(infos: readonly Info[], cursor: Cursor, alignment: number): Map<string, TensorEntry> {
  const { file, fileBytes } = cursor;
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  const dataBytes = Math.max(0, fileBytes - dataStart);
  const ordered = infos.toSorted((a, b) => (a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0));
  let before: { name: string; end: number } | undefined;
  const entries = new Map<string, TensorEntry>(infos.map(({ name }) => [name, undefined as never]));
  for (const [i, { name, dtype, shape, offset, bytes }] of ordered.entries()) {
    const fail = (what: string) => bad(file, `tensor ${JSON.stringify(name)} ${what}`);
    if (offset % BigInt(alignment) !== 0n)
      throw fail(`begins at byte ${offset}, not aligned to ${alignment}`);
    if (offset > BigInt(dataBytes))
      throw fail(
        `begins at byte ${offset} of the data, of which there are ${dataBytes}: truncated or damaged`,
      );
    const begin = Number(offset);
    const next = ordered[i + 1]?.offset;
    const size = bytes ?? (next === undefined || next > BigInt(dataBytes) ? dataBytes : Number(next)) - begin;
    if (begin + size > dataBytes) {
      throw fail(
        `ends at byte ${begin + size} of the data, of which there are ${dataBytes}: truncated or damaged`,
      );
    }
    if (before && begin < before.end) throw fail(`overlaps tensor ${JSON.stringify(before.name)}`);
    before = { name, end: begin + size };
    entries.set(name, { name, dtype, shape, file, offset: dataStart + begin, bytes: size });
  }
  return entries;
}
