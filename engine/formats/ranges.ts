// A file read by ranges, with the errors that a checkpoint's files have in common.
import { open, type FileHandle } from "node:fs/promises";
import { EngineError } from "../errors.ts";
import { bad } from "./header.ts";

/** One system call reads at most this; Linux itself stops at 2 GiB. */
const readLimit = 2 ** 30;
/** And into at most so many places. */
const placesLimit = 1024;

export interface RangeFile {
  readonly path: string;
  /** Bytes of the file when it was opened. */
  readonly size: number;
  /** Fills `into` from the absolute `position` on. Errors: bad_checkpoint when the file ends before, or cannot be read. */
  read(position: number, into: Uint8Array): Promise<void>;
  /** The same into one place after another. */
  readInto(position: number, places: readonly Uint8Array[]): Promise<void>;
  /** Idempotent; waits for reads under way. Reading afterwards is a bug. */
  close(): Promise<void>;
}

/** Errors: bad_checkpoint when there is no such file, or it is a folder. */
export async function openRanges(path: string): Promise<RangeFile> {
  const handle = await openFile(path);
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw bad(path, "is not a file");
  }
  let closed: Promise<void> | undefined;
  return {
    path,
    size: stat.size,
    async read(position, into) {
      if (closed) throw new Error(`${path} is closed`);
      await fill(handle, path, position, into);
    },
    async readInto(position, places) {
      if (closed) throw new Error(`${path} is closed`);
      let at = position;
      for (let first = 0; first < places.length; first += placesLimit)
        at = await scatter(handle, path, at, places.slice(first, first + placesLimit));
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

/** Fills the places; returns where the file goes on. */
async function scatter(
  handle: FileHandle,
  path: string,
  position: number,
  places: readonly Uint8Array[],
): Promise<number> {
  const { bytesRead } = await handle.readv(places, position).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  // A call that was cut short leaves the rest to be read place by place.
  let at = 0;
  for (const place of places) {
    const done = Math.min(place.length, Math.max(0, bytesRead - at));
    if (done < place.length) await fill(handle, path, position + at + done, place.subarray(done));
    at += place.length;
  }
  return position + at;
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
