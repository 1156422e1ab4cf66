// A model's folder in the hub cache: found when complete, else downloaded.

import { existsSync } from "node:fs";
import { copyFile, mkdir, open, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engine/errors.ts";
import { namesIn } from "../engine/formats/locate.ts";
import { download, expectSpace } from "./download.ts";
import type { DownloadOptions } from "./download.ts";
import type { RemoteFile } from "./hub-http.ts";
import { fileUrl, listModel, repoFolder } from "./hub.ts";
import { writableFolder } from "./folders.ts";
import type { Hub } from "./hub.ts";
import { isWeights, selectFiles } from "./selection.ts";
import type { Selection } from "./selection.ts";

export interface SnapshotOptions extends Pick<DownloadOptions, "retries" | "pauseMs" | "silenceMs"> {
  /** As HubReference has it. */
  quant?: string | undefined;
  signal: AbortSignal;
  onProgress: (bytes: number, totalBytes: number) => void;
  onNote: (line: string) => void;
  /** Ask the hub even when the cache has the revision: it may have moved. */
  refresh?: boolean;
}

/** A model's files on this disk. */
export interface Snapshot {
  /** The folder, or the GGUF file in it. */
  path: string;
  /** What its floats are still to be quantised to. */
  quant: string | undefined;
}

const indexFile = "model.safetensors.index.json";

/**
 * Makes a model's files be here, in the form that `quant` names (reference.ts).
 * Errors: model_not_found, download_failed, disk_full, bad_config (the cache cannot be written to); as selectFiles.
 */
export async function snapshot(
  hub: Hub,
  name: string,
  revision: string,
  options: SnapshotOptions,
): Promise<Snapshot> {
  const { quant } = options;
  const cached = await cachedSnapshot(hub, name, revision, quant);
  if (cached && (hub.offline || !options.refresh)) return cached;
  const at = revision === "main" ? name : `${name}@${revision}`;
  if (hub.offline) {
    const what = quant === undefined ? at : `${at}:${quant}`;
    throw new EngineError(
      "model_not_found",
      `${what} is not in ${hub.cacheFolder}, and the hub is off (offline)`,
    );
  }
  let selection: Selection | undefined;
  const choose = (paths: readonly string[]) => (selection = selectFiles(paths, quant, at)).files;
  const listing = await listModel(hub, name, revision, choose, options.signal);
  const repo = repoFolder(hub, name);
  const folder = join(repo, "snapshots", listing.commit);
  await writableFolder(folder);
  await writableFolder(join(repo, "blobs"));
  await bring(hub, name, listing.commit, listing.files, options);
  if (revision !== listing.commit) {
    const ref = join(repo, "refs", revision);
    await mkdir(dirname(ref), { recursive: true });
    await writeFile(ref, listing.commit);
  }
  return placed(folder, selection!);
}

function placed(folder: string, { gguf, quant }: Selection): Snapshot {
  return { path: gguf === undefined ? folder : join(folder, gguf), quant };
}

/** The revision's files if they are all there: settings, tokenizer and every shard, or every part of a GGUF file. */
async function cachedSnapshot(
  hub: Hub,
  name: string,
  revision: string,
  quant?: string,
): Promise<Snapshot | undefined> {
  const repo = repoFolder(hub, name);
  const ref = join(repo, "refs", revision);
  const commit = existsSync(ref) ? (await readFile(ref, "utf8")).trim() : revision;
  const folder = join(repo, "snapshots", commit);
  const selection = chosenHere(await namesIn(folder), quant, hub.offline ? name : undefined);
  if (!selection) return undefined;
  const complete = selection.gguf !== undefined || (await isComplete(folder));
  return complete ? placed(folder, selection) : undefined;
}

/** What cannot be chosen here may still be on the hub; if nobody may ask there, an open choice is told by name. */
function chosenHere(
  names: readonly string[],
  quant: string | undefined,
  name: string | undefined,
): Selection | undefined {
  try {
    return selectFiles(names, quant, name ?? "");
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    if (name !== undefined && error.code === "bad_request") throw error;
    return undefined;
  }
}

/** Whether a folder has safetensors, all of them, and what goes with them. */
export async function isComplete(folder: string): Promise<boolean> {
  if (!existsSync(join(folder, "config.json")) || !existsSync(join(folder, "tokenizer.json"))) return false;
  const shards = existsSync(join(folder, indexFile))
    ? await shardsOf(join(folder, indexFile))
    : (await readdir(folder)).filter((file) => file.endsWith(".safetensors"));
  return shards.length > 0 && shards.every((shard) => existsSync(join(folder, shard)));
}

async function shardsOf(index: string): Promise<string[]> {
  try {
    const { weight_map } = JSON.parse(await readFile(index, "utf8")) as {
      weight_map: Record<string, string>;
    };
    return [...new Set(Object.values(weight_map))];
  } catch (error) {
    throw new EngineError(
      "bad_checkpoint",
      `${index} is no index of shards: ${String(error)}`,
      {},
      { cause: error },
    );
  }
}

/** Small files first: a folder that has its weights has everything. */
async function bring(hub: Hub, name: string, commit: string, needed: RemoteFile[], options: SnapshotOptions) {
  const place = { hub, name, commit, options };
  const small = needed.filter(({ path }) => !isWeights(path));
  for (const file of small) await bringFile(place, file, () => undefined);
  const index = join(repoFolder(hub, name), "snapshots", commit, indexFile);
  const shards = existsSync(index) ? await shardsOf(index) : undefined;
  const single = needed.some((file) => file.path === "model.safetensors") ? ["model.safetensors"] : undefined;
  const names = shards ?? single;
  const weights = needed.filter(({ path }) => isWeights(path) && (names?.includes(path) ?? true));
  const missing = shards?.filter((shard) => !weights.some((file) => file.path === shard)) ?? [];
  if (missing.length > 0)
    throw new EngineError("bad_checkpoint", `${name} lists no ${missing.join(", ")}, which its index names`);
  await bringWeights(place, weights);
}

interface Place {
  hub: Hub;
  name: string;
  commit: string;
  options: SnapshotOptions;
}

async function bringWeights(place: Place, weights: RemoteFile[]): Promise<void> {
  const blobs = join(repoFolder(place.hub, place.name), "blobs");
  const total = weights.reduce((sum, file) => sum + file.size, 0);
  const present = await Promise.all(weights.map((file) => bytesThere(join(blobs, file.etag), file.size)));
  await expectSpace(join(blobs, "x"), total - present.reduce((sum, bytes) => sum + bytes, 0));
  let before = 0;
  for (const file of weights) {
    await bringFile(place, file, (bytes) => place.options.onProgress(before + bytes, total));
    before += file.size;
    place.options.onProgress(before, total);
  }
}

async function bytesThere(blob: string, size: number): Promise<number> {
  if (existsSync(blob)) return size;
  const partial = await stat(`${blob}.incomplete`).catch(() => undefined);
  return Math.min(partial?.size ?? 0, size);
}

async function bringFile(place: Place, file: RemoteFile, onBytes: (bytes: number) => void): Promise<void> {
  const { hub, name, commit, options } = place;
  const repo = repoFolder(hub, name);
  const pointer = join(repo, "snapshots", commit, file.path);
  if (existsSync(pointer)) return;
  await mkdir(dirname(pointer), { recursive: true });
  const blob = join(repo, "blobs", file.etag);
  await locked(`${blob}.lock`, options, async () => {
    if (existsSync(blob)) return;
    const url = fileUrl(hub, name, commit, file.path);
    await download(url, file, blob, { ...options, token: hub.token, onBytes });
  });
  await link(blob, pointer);
}

async function link(blob: string, pointer: string): Promise<void> {
  await rm(pointer, { force: true });
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return;
    // Windows allows links only to administrators and in developer mode.
    if (code !== "EPERM" && code !== "ENOSYS") throw error;
    await copyFile(blob, pointer);
  }
}

/** Two neurons of one host may want the same file: the second waits, then finds it there. */
async function locked(
  path: string,
  { signal, onNote }: SnapshotOptions,
  work: () => Promise<void>,
): Promise<void> {
  let noted = false;
  while (!(await take(path))) {
    if (!noted) onNote(`waiting for another process that downloads the same file (${path})`);
    noted = true;
    await sleep(500, undefined, { signal });
  }
  try {
    await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(String(process.pid));
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (await isAbandoned(path)) await rm(path, { force: true });
    return false;
  }
}

/** A process that was killed leaves its lock behind, perhaps before it wrote its number into it. */
async function isAbandoned(path: string): Promise<boolean> {
  const owner = Number(await readFile(path, "utf8").catch(() => ""));
  if (owner > 0) return !isAlive(owner);
  const there = await stat(path).catch(() => undefined);
  return there !== undefined && Date.now() - there.mtimeMs > 10_000;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
