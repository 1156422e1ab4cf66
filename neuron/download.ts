// One file over HTTP, continued where an earlier try stopped, and verified. The partial file stays beside the target
// (`.incomplete`) until its checksum is right.

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm, stat, statfs } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engine/errors.ts";
import { describeCause, follow, refusedByHub } from "./hub-http.ts";
import type { HubRequest, RemoteFile } from "./hub-http.ts";
import { size as bytesText } from "./log.ts";

export interface DownloadOptions extends HubRequest {
  /** Bytes of this file that are on disk. */
  onBytes: (bytes: number) => void;
  /** Tries that bring no byte before giving up, and the first pause between tries (it doubles), ms. */
  retries?: number;
  pauseMs?: number;
}

const maxPauseMs = 30_000;

/** Brings `url` to `target`. Throws download_failed or disk_full; both keep what has arrived. */
export async function download(
  url: string,
  file: RemoteFile,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const { retries = 5, pauseMs = 1000 } = options;
  const partial = `${target}.incomplete`;
  const hash = await resumed(partial, file);
  let failures = 0;
  while (hash.bytes < file.size) {
    const before = hash.bytes;
    try {
      await receive(url, file, partial, hash, options);
      if (hash.bytes === file.size) break;
      throw new Error(`the connection ended after ${hash.bytes} of ${file.size} bytes`);
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof EngineError) throw error;
      if (isDiskFull(error)) throw await diskFull(partial, file.size - hash.bytes, error);
      failures = hash.bytes > before ? 1 : failures + 1;
      if (failures > retries) throw gaveUp(file, hash.bytes, error);
      await sleep(Math.min(pauseMs * 2 ** (failures - 1), maxPauseMs), undefined, { signal: options.signal });
    }
  }
  await (await open(partial, "a")).close();
  await verify(hash, file, partial);
  await rename(partial, target);
}

/** The running checksum of what is on disk. */
interface Running {
  hash: Hash;
  bytes: number;
}

function fresh(file: RemoteFile): Running {
  if (file.etag.length === 64) return { hash: createHash("sha256"), bytes: 0 };
  return { hash: createHash("sha1").update(`blob ${file.size}\0`), bytes: 0 };
}

async function resumed(partial: string, file: RemoteFile): Promise<Running> {
  const running = fresh(file);
  const there = await stat(partial).catch(() => undefined);
  if (!there) return running;
  if (!there.isFile() || there.size > file.size) return running;
  for await (const chunk of createReadStream(partial)) {
    running.hash.update(chunk as Buffer);
    running.bytes += (chunk as Buffer).length;
  }
  return running;
}

/** One connection: appends what comes, from `running.bytes` on; starts over where the server cannot continue. */
async function receive(
  url: string,
  file: RemoteFile,
  partial: string,
  running: Running,
  options: DownloadOptions,
) {
  const { statusCode, headers, body } = await follow(url, "GET", options, {
    ...(running.bytes > 0 ? { range: `bytes=${running.bytes}-` } : {}),
    "accept-encoding": "identity",
  });
  try {
    // What is here does not fit what is there: the next try starts over.
    if (statusCode === 416) Object.assign(running, fresh(file));
    if (statusCode !== 200 && statusCode !== 206) throw refused(statusCode, file, options.token);
    const continues =
      statusCode === 206 && String(headers["content-range"]).startsWith(`bytes ${running.bytes}-`);
    if (!continues) Object.assign(running, fresh(file));
    const handle = await open(partial, running.bytes === 0 ? "w" : "a");
    try {
      await append(body, handle, running, file, options.onBytes);
    } finally {
      await handle.close();
    }
  } finally {
    // A body that nobody reads to its end keeps its connection; this one will not be used again.
    body.destroy();
  }
}

async function append(
  body: AsyncIterable<Buffer>,
  handle: FileHandle,
  running: Running,
  file: RemoteFile,
  onBytes: (n: number) => void,
) {
  for await (const chunk of body) {
    if (running.bytes + chunk.length > file.size) {
      throw new EngineError(
        "download_failed",
        `${file.path}: the server sends more than the listed ${file.size} bytes`,
      );
    }
    await handle.writeFile(chunk);
    running.hash.update(chunk);
    running.bytes += chunk.length;
    onBytes(running.bytes);
  }
}

async function verify({ hash }: Running, file: RemoteFile, partial: string): Promise<void> {
  const found = hash.digest("hex");
  if (found === file.etag) return;
  // Wrong bytes cannot be continued.
  await rm(partial, { force: true });
  throw new EngineError(
    "download_failed",
    `${file.path}: checksum ${found.slice(0, 12)}… is not the listed ${file.etag.slice(0, 12)}…; the file was dropped, run again`,
  );
}

/** Statuses that another try may change are plain errors, which the loop retries; the others end it. */
function refused(status: number, file: RemoteFile, token: string | undefined): Error {
  if (status === 408 || status === 416 || status === 429 || status >= 500)
    return new Error(`the hub answered ${status}`);
  return refusedByHub(status, file.path, token !== undefined);
}

function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");
}

/** Throws disk_full, with figures, when the `needed` bytes will not fit beside what is there. */
export async function expectSpace(path: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize < needed) throw await diskFull(path, needed);
}

async function diskFull(path: string, needed: number, cause?: unknown): Promise<EngineError> {
  const { bavail, bsize } = await statfs(dirname(path));
  const free = bavail * bsize;
  return new EngineError(
    "disk_full",
    `the disk of ${dirname(path)} is full: ${bytesText(needed)} more are needed, ${bytesText(free)} are free; ` +
      "what has arrived is kept, and a rerun continues it",
    { neededBytes: needed, freeBytes: free },
    { cause },
  );
}

function gaveUp(file: RemoteFile, bytes: number, error: unknown): EngineError {
  const reason = error instanceof Error ? describeCause(error) : String(error);
  return new EngineError(
    "download_failed",
    `${file.path}: ${bytesText(bytes)} of ${bytesText(file.size)} arrived, then: ${reason}; run again to continue`,
    {},
    { cause: error },
  );
}
