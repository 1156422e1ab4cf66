// Writes GGUF files: for tests and the bench's synthetic checkpoints. Data may come from a generator, so that a file
// of many GiB needs no memory.
import { open, rm, type FileHandle } from "node:fs/promises";
import { writeAll } from "../write.ts";
import { defaultAlignment, elementNumbers, elementTypes, valueTypes, type ScalarType } from "./types.ts";

/** A metadata value with its type; `["u32[]", [1, 2]]` is an array, `["array", [...]]` one of arrays. */
export type TypedValue =
  | readonly [ScalarType, number | bigint | boolean | string]
  | readonly [`${ScalarType}[]`, readonly (number | bigint | boolean | string)[]]
  | readonly ["array", readonly TypedValue[]];

export interface GgufTensorSource {
  readonly name: string;
  /** The name of an element type: "F32", "Q4_K", … */
  readonly dtype: string;
  /** Innermost axis last, as everywhere here; the file has them the other way round. */
  readonly shape: readonly number[];
  /** The bytes: at once, or in pieces of any size. */
  readonly data: ArrayBufferView | (() => Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>);
}

export interface GgufWriteOptions {
  readonly version?: 2 | 3;
  readonly alignment?: number;
}

/** Writes a file; where that fails, no file is left. Throws a plain Error when a source gives too few or many bytes. */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, TypedValue>>,
  tensors: readonly GgufTensorSource[],
  options: GgufWriteOptions = {},
): Promise<void> {
  const alignment = options.alignment ?? defaultAlignment;
  const all =
    options.alignment === undefined
      ? metadata
      : { ...metadata, "general.alignment": ["u32", alignment] as const };
  const file = await open(path, "w");
  try {
    await writeAll(file, encodeGgufHead(all, tensors, { ...options, alignment }));
    for (const [i, tensor] of tensors.entries()) {
      const written = await writeTensor(file, tensor);
      if (i < tensors.length - 1) await writeAll(file, new Uint8Array(padding(written, alignment)));
    }
    await file.close();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}

/** The head, padded to where the data begins. */
export function encodeGgufHead(
  metadata: Readonly<Record<string, TypedValue>>,
  tensors: readonly Omit<GgufTensorSource, "data">[],
  { version = 3, alignment = defaultAlignment }: GgufWriteOptions = {},
): Uint8Array<ArrayBuffer> {
  const out = new Encoder();
  out.bytes(Buffer.from("GGUF"));
  out.scalar("u32", version);
  out.scalar("u64", tensors.length);
  out.scalar("u64", Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    out.scalar("string", key);
    out.typed(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.scalar("string", tensor.name);
    out.scalar("u32", tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.scalar("u64", size);
    out.scalar("u32", numberOf(tensor.dtype));
    out.scalar("u64", offset);
    offset += ggufBytes(tensor) + padding(ggufBytes(tensor), alignment);
  }
  out.bytes(new Uint8Array(padding(out.length, alignment)));
  return out.joined();
}

/** Bytes of a tensor's data. Throws where rows are not whole blocks. */
function ggufBytes({ name, dtype, shape }: Omit<GgufTensorSource, "data">): number {
  const { values, bytes } = elementTypes.get(numberOf(dtype))!;
  if ((shape.at(-1) ?? 1) % values !== 0)
    throw new Error(`${name}: [${shape.join(", ")}] is not whole ${dtype} blocks`);
  return (shape.reduce((product, size) => product * size, 1) / values) * bytes;
}

function numberOf(dtype: string): number {
  const number = elementNumbers.get(dtype);
  if (number === undefined) throw new Error(`GGUF has no element type ${dtype}`);
  return number;
}

function padding(length: number, alignment: number): number {
  return (alignment - (length % alignment)) % alignment;
}

class Encoder {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  typed([type, value]: TypedValue): void {
    if (type === "array" || type.endsWith("[]")) this.#type("array");
    this.#elements(type, value);
  }

  scalar(type: ScalarType, value: number | bigint | boolean | string): void {
    if (type === "string") {
      const text = Buffer.from(String(value));
      this.scalar("u64", text.length);
      this.bytes(text);
      return;
    }
    const view = new DataView(new ArrayBuffer(8));
    setters[type](view, value);
    this.bytes(new Uint8Array(view.buffer, 0, sizes[type]));
  }

  joined(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(Buffer.concat(this.#parts));
  }

  /** What follows the word "array", or a scalar with its type. */
  #elements(type: TypedValue[0], value: TypedValue[1]): void {
    if (type === "array") {
      this.#type("array");
      this.scalar("u64", (value as readonly TypedValue[]).length);
      for (const [innerType, inner] of value as readonly TypedValue[]) this.#elements(innerType, inner);
      return;
    }
    const scalar = type.replace("[]", "") as ScalarType;
    this.#type(scalar);
    if (scalar === type) return this.scalar(scalar, value as number);
    this.scalar("u64", (value as readonly number[]).length);
    for (const one of value as readonly number[]) this.scalar(scalar, one);
  }

  #type(type: (typeof valueTypes)[number]): void {
    this.scalar("u32", valueTypes.indexOf(type));
  }
}

const sizes = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  u64: 8,
  i64: 8,
  f64: 8,
} as const;

type Set = (view: DataView, value: number | bigint | boolean | string) => void;

const setters: Readonly<Record<keyof typeof sizes, Set>> = {
  u8: (view, value) => view.setUint8(0, Number(value)),
  i8: (view, value) => view.setInt8(0, Number(value)),
  u16: (view, value) => view.setUint16(0, Number(value), true),
  i16: (view, value) => view.setInt16(0, Number(value), true),
  u32: (view, value) => view.setUint32(0, Number(value), true),
  i32: (view, value) => view.setInt32(0, Number(value), true),
  f32: (view, value) => view.setFloat32(0, Number(value), true),
  f64: (view, value) => view.setFloat64(0, Number(value), true),
  u64: (view, value) => view.setBigUint64(0, BigInt(value), true),
  i64: (view, value) => view.setBigInt64(0, BigInt(value), true),
  bool: (view, value) => view.setUint8(0, Number(value)),
};

async function writeTensor(file: FileHandle, source: GgufTensorSource): Promise<number> {
  const pieces = typeof source.data === "function" ? source.data() : [source.data];
  let written = 0;
  for await (const piece of pieces) {
    await writeAll(file, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
    written += piece.byteLength;
  }
  const expected = ggufBytes(source);
  if (written !== expected) throw new Error(`${source.name}: ${written} bytes written, ${expected} expected`);
  return written;
}
