// A safetensors file, read by ranges: opening it reads the header alone, whatever the weights weigh.
import { open, type FileHandle } from "node:fs/promises";
import { EngineError } from "../errors.ts";
import { bad, headerLength, parseHeader, type TensorEntry } from "./header.ts";

export type { Dtype, TensorEntry } from "./header.ts";

/** One system call reads at most this; Linux itself stops at 2 GiB. */
const readLimit = 2 ** 30;

export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Fills `into` with the tensor's bytes from `offset` (relative to the tensor) on.
   * Errors: bad_checkpoint when the file has become shorter or cannot be read.
   */
  read(entry: TensorEntry, offset: number, into: Uint8Array): Promise<void>;
  /** Idempotent; waits for reads under way. */
  close(): Promise<void>;
}

/** Opens and checks a file. Errors: bad_checkpoint (see header.ts); the file is closed then. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openFile(path);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw bad(path, "is not a file");
    const first = new Uint8Array(Math.min(8, stat.size));
    await fill(handle, path, 0, first);
    const length = headerLength(first, path, stat.size);
    const json = new Uint8Array(length);
    await fill(handle, path, 8, json);
    const dataStart = 8 + length;
    const header = parseHeader(json, { file: path, dataStart, dataBytes: stat.size - dataStart });
    return fileOf(handle, path, header);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function fileOf(
  handle: FileHandle,
  path: string,
  header: Pick<SafetensorsFile, "tensors" | "metadata">,
): SafetensorsFile {
  let closed: Promise<void> | undefined;
  return {
    path,
    ...header,
    async read(entry, offset, into) {
      if (closed) throw new Error(`${path} is closed`);
      if (offset < 0 || offset + into.length > entry.bytes) {
        throw new Error(
          `bytes ${offset} to ${offset + into.length} of ${entry.name}, which has ${entry.bytes}`,
        );
      }
      await fill(handle, path, entry.offset + offset, into);
    },
    close: () => (closed ??= handle.close()),
  };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Reads until `into` is full. */
async function fill(handle: FileHandle, path: string, position: number, into: Uint8Array): Promise<void> {
  let done = 0;
  while (done < into.length) {
    const want = Math.min(into.length - done, readLimit);
    const { bytesRead } = await readAt(handle, path, into, done, want, position + done);
    if (bytesRead === 0) throw bad(path, `ended at byte ${position + done} while it was read: truncated`);
    done += bytesRead;
  }
}

async function readAt(
  handle: FileHandle,
  path: string,
  into: Uint8Array,
  at: number,
  count: number,
  position: number,
): Promise<{ bytesRead: number }> {
  try {
    return await handle.read(into, at, count, position);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): EngineError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const what = code === "ENOENT" ? "does not exist" : `cannot be read: ${message}`;
  return new EngineError("bad_checkpoint", `${path}: ${what}`, {}, { cause });
}
