// The header of a safetensors file, checked in full before any of its numbers is used:
//   8 bytes N (u64, little-endian) · N bytes of JSON, name → { dtype, shape, data_offsets } · the data
// The published rules are followed: the ranges cover the data without holes, overlaps or a rest, names are unique,
// the header is at most 100 MB. One is relaxed: a dtype we do not know is refused when the tensor is asked for.
import { EngineError } from "../errors.ts";

/** Bits of one element. */
export const dtypeBits = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
} as const;

export type Dtype = keyof typeof dtypeBits;

/** Where a tensor lies: `bytes` bytes from the absolute `offset` of `file` on, row-major, little-endian. */
export interface TensorEntry {
  readonly name: string;
  /** A `Dtype`, or a name that we do not know (yet). */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where the header was found: the data begins at the absolute offset `dataStart` and is `dataBytes` long. */
export interface HeaderPlace {
  file: string;
  dataStart: number;
  dataBytes: number;
}

export const maxHeaderBytes = 100_000_000;

export function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(dtypeBits, dtype);
}

/** Bytes of a tensor; undefined when its last byte would be a broken one (sub-byte dtypes). */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | undefined {
  const bits = shape.reduce((product, n) => product * BigInt(n), BigInt(dtypeBits[dtype]));
  return bits % 8n === 0n ? Number(bits / 8n) : undefined;
}

/**
 * N of a file's first 8 bytes, checked against the file.
 * Errors: bad_checkpoint for a file too short, a header too long, or a Git LFS pointer in the file's place.
 */
export function headerLength(first: Uint8Array, file: string, fileBytes: number): number {
  const text = new TextDecoder().decode(first);
  if (text === "version ") {
    throw bad(file, "is a Git LFS pointer, not the weights themselves; run `git lfs pull` in its folder");
  }
  if (first.length < 8) throw bad(file, `is ${fileBytes} bytes long: too short for a safetensors file`);
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw bad(
      file,
      `claims a header of ${length} bytes (at most ${maxHeaderBytes}): not a safetensors file?`,
    );
  }
  if (8n + length > BigInt(fileBytes)) {
    throw bad(
      file,
      `claims a header of ${length} bytes but is ${fileBytes} bytes long: truncated or damaged`,
    );
  }
  return Number(length);
}

/** Parses and checks the N header bytes. Errors: bad_checkpoint, naming file, tensor and value. */
export function parseHeader(json: Uint8Array, place: HeaderPlace): Header {
  const { file } = place;
  const header = parseObject(json, file);
  const tensors = new Map<string, TensorEntry>();
  let metadata = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") metadata = parseMetadata(value, file);
    else tensors.set(name, parseEntry(name, value, place));
  }
  checkCover([...tensors.values()], place);
  return { tensors, metadata };
}

function parseObject(json: Uint8Array, file: string): Record<string, unknown> {
  if (json[0] !== 0x7b) throw bad(file, "has a header that does not begin with {: not a safetensors file?");
  let text: string;
  let parsed: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(json);
  } catch {
    throw bad(file, "has a header that is not UTF-8");
  }
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw bad(file, `has a header that is not JSON: ${(error as Error).message}`);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw bad(file, `names ${JSON.stringify(twice)} twice in its header`);
  return parsed as Record<string, unknown>;
}

/** The first key that one object of valid JSON holds twice: JSON.parse keeps the last and says nothing. */
export function duplicateKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (token.endsWith(":")) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((text) => typeof text !== "string")) {
    throw bad(file, `has __metadata__ that is not an object of strings: ${shown(value)}`);
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, place: HeaderPlace): TensorEntry {
  const fail = (what: string) => bad(place.file, `tensor ${JSON.stringify(name)} ${what}`);
  if (!isObject(value)) throw fail(`is ${shown(value)}, not { dtype, shape, data_offsets }`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") throw fail(`has dtype ${shown(dtype)}`);
  if (!isSizes(shape)) throw fail(`has shape ${shown(shape)}: sizes are whole numbers from 0 on`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(`has data_offsets ${shown(offsets)}: two whole numbers from 0 to 2^53 are expected`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw fail(`has data_offsets in reverse: ${shown(offsets)}`);
  if (end > place.dataBytes) {
    throw fail(
      `ends at byte ${end} of the data, of which there are ${place.dataBytes}: truncated or damaged`,
    );
  }
  if (isDtype(dtype) && tensorBytes(dtype, shape) !== end - begin) {
    throw fail(
      `is ${dtype} ${shown(shape)}, which is not the ${end - begin} bytes of its data_offsets ${shown(offsets)}`,
    );
  }
  return { name, dtype, shape, file: place.file, offset: place.dataStart + begin, bytes: end - begin };
}

/** Every byte of the data belongs to exactly one tensor. */
function checkCover(entries: TensorEntry[], { file, dataStart, dataBytes }: HeaderPlace): void {
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let at = dataStart;
  let before = "the header";
  for (const { name, offset, bytes } of entries) {
    if (offset < at) throw bad(file, `tensor ${JSON.stringify(name)} overlaps ${before}`);
    if (offset > at) {
      throw bad(
        file,
        `has a hole of ${offset - at} bytes between ${before} and tensor ${JSON.stringify(name)}`,
      );
    }
    at += bytes;
    before = `tensor ${JSON.stringify(name)}`;
  }
  const rest = dataStart + dataBytes - at;
  if (rest > 0) throw bad(file, `has ${rest} bytes after ${before} which belong to no tensor`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** A value of the file as a message can hold it. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export function bad(file: string, what: string): EngineError {
  return new EngineError("bad_checkpoint", `${file}: ${what}`);
}
