// Writes safetensors files: for tests, converters and the bench's synthetic checkpoints. Data may come from a
// generator, so that a file of many GiB needs no memory.
import { open, rm, type FileHandle } from "node:fs/promises";
import { dtypeBits, maxHeaderBytes, tensorBytes, type Dtype } from "./header.ts";

export interface TensorSpec {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
}

/** A tensor and its bytes, little-endian: at once, or in pieces of any size. */
export interface TensorSource extends TensorSpec {
  data: ArrayBufferView | (() => Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>);
}

/** Writes a file; where that fails, no file is left. Throws a plain Error when a source gives too few or many bytes. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const sources = inFileOrder(tensors);
  const header = encodeHeader(sources, metadata);
  const file = await open(path, "w");
  try {
    await writeAll(file, header);
    for (const source of sources) await writeTensor(file, source);
    await file.close();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}

/** The widest elements first: after a header padded to 8 bytes, every tensor is aligned to its element. */
function inFileOrder<T extends TensorSpec>(tensors: readonly T[]): T[] {
  return [...tensors].sort((a, b) => dtypeBits[b.dtype] - dtypeBits[a.dtype]);
}

/** The first bytes of a file, length field included, for tensors that follow one another in the given order. */
export function encodeHeader(
  tensors: readonly TensorSpec[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const entries = new Map<string, unknown>(metadata ? [["__metadata__", metadata]] : []);
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    if (entries.has(name) || name === "__metadata__") throw new Error(`tensor name ${name} is taken`);
    const end = at + sizeOf({ name, dtype, shape });
    entries.set(name, { dtype, shape, data_offsets: [at, end] });
    at = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) throw new Error(`a header of ${length} bytes, at most ${maxHeaderBytes}`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

async function writeTensor(file: FileHandle, source: TensorSource): Promise<void> {
  const pieces = typeof source.data === "function" ? source.data() : [source.data];
  let written = 0;
  for await (const piece of pieces) {
    await writeAll(file, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
    written += piece.byteLength;
  }
  const expected = sizeOf(source);
  if (written !== expected) throw new Error(`${source.name}: ${written} bytes written, ${expected} expected`);
}

/** FileHandle.write may write a part; its file position moves along. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30))).bytesWritten;
  }
}

function sizeOf({ name, dtype, shape }: TensorSpec): number {
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined)
    throw new Error(`${name}: ${dtype} [${shape.join(", ")}] is no whole number of bytes`);
  return bytes;
}
