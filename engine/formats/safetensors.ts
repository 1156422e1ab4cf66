// A safetensors file, read by ranges: opening it reads the header alone, whatever the weights weigh.
import { headerLength, parseHeader, type TensorEntry } from "./header.ts";
import { openRanges, type RangeFile } from "./ranges.ts";

export type { Dtype, TensorEntry } from "./header.ts";

/** A file of tensors, of whatever format. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /**
   * Fills `into` with the tensor's bytes from `offset` (relative to the tensor) on.
   * Errors: bad_checkpoint when the file has become shorter or cannot be read.
   */
  read(entry: TensorEntry, offset: number, into: Uint8Array): Promise<void>;
  /** The same into one place after another. */
  readInto(entry: TensorEntry, offset: number, places: readonly Uint8Array[]): Promise<void>;
  /** Idempotent; waits for reads under way. */
  close(): Promise<void>;
}

export interface SafetensorsFile extends TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
}

/** Opens and checks a file. Errors: bad_checkpoint (see header.ts); the file is closed then. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openRanges(path);
  try {
    const first = new Uint8Array(Math.min(8, file.size));
    await file.read(0, first);
    const length = headerLength(first, path, file.size);
    const json = new Uint8Array(length);
    await file.read(8, json);
    const dataStart = 8 + length;
    const header = parseHeader(json, { file: path, dataStart, dataBytes: file.size - dataStart });
    return { ...tensorFile(file, header.tensors), metadata: header.metadata };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export function tensorFile(file: RangeFile, tensors: ReadonlyMap<string, TensorEntry>): TensorFile {
  return {
    path: file.path,
    tensors,
    async read(entry, offset, into) {
      check(entry, offset, into.length);
      await file.read(entry.offset + offset, into);
    },
    async readInto(entry, offset, places) {
      check(
        entry,
        offset,
        places.reduce((sum, { length }) => sum + length, 0),
      );
      await file.readInto(entry.offset + offset, places);
    },
    close: () => file.close(),
  };
}

function check({ name, bytes }: TensorEntry, offset: number, length: number): void {
  if (offset < 0 || offset + length > bytes)
    throw new Error(`bytes ${offset} to ${offset + length} of ${name}, which has ${bytes}`);
}
