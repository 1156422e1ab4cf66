// `neuron rm`: a revision leaves the hub's cache, with the files that no other revision shares.

import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { scanCacheDir } from "@huggingface/hub";
import type { CachedRevisionInfo } from "@huggingface/hub";
import { EngineError } from "../engine/errors.ts";
import { writableFolder } from "./folders.ts";
import { repoFolder } from "./hub.ts";
import type { Hub } from "./hub.ts";
import { isAlive } from "./snapshot.ts";

export interface Removed {
  id: string;
  /** What the disk has back. */
  bytes: number;
}

/** `id`: as `neuron ls` names it, org/name[@revision]. Throws model_not_found, model_busy while it is downloaded, bad_config. */
export async function removeModel(hub: Hub, id: string): Promise<Removed> {
  const [name = "", said = "main"] = id.split("@");
  const repo = repoFolder(hub, name);
  if (!/^[\w.-]+\/[\w.-]+$/.test(name) || !existsSync(repo)) throw notStored(hub, id);
  await expectIdle(repo, id);
  await writableFolder(repo);
  const revisions = await revisionsOf(hub, name);
  const gone = revisions.find(({ refs, commitOid }) => commitOid === said || refs.includes(said));
  const left = revisions.filter((revision) => revision !== gone);
  // Without a snapshot it was a download that never came to its end.
  if (!gone && left.length > 0) throw notStored(hub, id);
  const before = await bytesOf(repo);
  if (left.length === 0) await rm(repo, { recursive: true });
  else await removeRevision(repo, gone!, left);
  return { id, bytes: before - (await bytesOf(repo)) };
}

async function revisionsOf(hub: Hub, name: string): Promise<CachedRevisionInfo[]> {
  const { repos } = await scanCacheDir(hub.cacheFolder);
  return repos.find(({ id }) => id.type === "model" && id.name === name)?.revisions ?? [];
}

async function removeRevision(
  repo: string,
  gone: CachedRevisionInfo,
  left: CachedRevisionInfo[],
): Promise<void> {
  const kept = new Set(left.flatMap(({ files }) => files.map(({ blob }) => blob.path)));
  // The snapshot first: what is half gone must not look complete.
  await rm(gone.path, { recursive: true });
  for (const ref of gone.refs) await rm(join(repo, "refs", ref), { force: true });
  for (const { blob } of gone.files) if (!kept.has(blob.path)) await rm(blob.path, { force: true });
}

/** A lock with a living process behind it: somebody downloads this very model. */
async function expectIdle(repo: string, id: string): Promise<void> {
  const blobs = join(repo, "blobs");
  const locks = existsSync(blobs) ? (await readdir(blobs)).filter((file) => file.endsWith(".lock")) : [];
  for (const lock of locks) {
    const owner = Number(await readFile(join(blobs, lock), "utf8").catch(() => ""));
    if (owner > 0 && isAlive(owner))
      throw new EngineError(
        "model_busy",
        `${id} is being downloaded by process ${owner}; stop that first, then run this again`,
      );
  }
}

async function bytesOf(folder: string): Promise<number> {
  if (!existsSync(folder)) return 0;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function notStored(hub: Hub, id: string): EngineError {
  const text = id === "demo" ? "demo is a part of this package" : `${id} is not in ${hub.cacheFolder}`;
  return new EngineError("model_not_found", `${text}; \`neuron ls\` lists what can be removed`);
}
