// Models from the Hugging Face hub, kept in its cache layout so that other tools share them:
//   CACHE/models--org--name/{refs/REVISION, blobs/ETAG, snapshots/COMMIT/FILE → ../../blobs/ETAG}
// The listing is @huggingface/hub's. Its download is not used: it fetches every file of a repository, starts over
// after a broken connection, verifies nothing and reports no progress.

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { HubApiError, getRepoFolderName, listFiles, modelInfo } from "@huggingface/hub";
import type { ListFileEntry } from "@huggingface/hub";
import { EngineError } from "../engine/errors.ts";
import { whyNot } from "../kit/settings.ts";
import { describeCause, describeFile, isSha1, isSha256, refusedByHub } from "./hub-http.ts";
import type { RemoteFile } from "./hub-http.ts";

export interface Hub {
  /** e.g. https://huggingface.co, without a slash at the end. */
  endpoint: string;
  cacheFolder: string;
  token: string | undefined;
  /** Never ask the network. */
  offline: boolean;
}

/** The hub that the environment describes, as Hugging Face's own tools read it; `settings` win. */
export function hubFrom(
  env: NodeJS.ProcessEnv,
  settings: { endpoint?: string; cache_folder?: string; offline?: boolean } = {},
): Hub {
  const home = env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface");
  const cache = env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || join(home, "hub");
  return {
    endpoint: (settings.endpoint ?? (env["HF_ENDPOINT"] || "https://huggingface.co")).replace(/\/+$/, ""),
    cacheFolder: settings.cache_folder ?? cache,
    token: env["HF_TOKEN"] || tokenFile(join(home, "token")),
    offline:
      settings.offline ?? ["1", "true", "yes", "on"].includes((env["HF_HUB_OFFLINE"] ?? "").toLowerCase()),
  };
}

/** Errors: bad_config when it is there and cannot be read. */
function tokenFile(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch (error) {
    throw new EngineError("bad_config", `the hub's token ${path} cannot be read: ${whyNot(error)}`);
  }
}

/** The folder in the cache that belongs to one repository. */
export function repoFolder(hub: Hub, name: string): string {
  return join(hub.cacheFolder, getRepoFolderName({ type: "model", name }));
}

export interface Listing {
  commit: string;
  files: RemoteFile[];
}

/** Those of a revision's files that `choose` wants, with their sizes and checksums. */
export async function listModel(
  hub: Hub,
  name: string,
  revision: string,
  choose: (paths: readonly string[]) => readonly string[],
  signal: AbortSignal,
): Promise<Listing> {
  // The package refuses tokens that do not start with hf_; a private mirror's may look otherwise.
  const withToken = (url: string | URL | Request, init: RequestInit = {}) => {
    const headers = { ...init.headers, ...(hub.token ? { authorization: `Bearer ${hub.token}` } : {}) };
    return fetch(url, { ...init, headers, signal });
  };
  const ask = { hubUrl: hub.endpoint, fetch: withToken as typeof fetch };
  try {
    const info = await modelInfo({ ...ask, name, revision, additionalFields: ["sha", "filePaths"] });
    const commit = info.sha;
    if (!/^[0-9a-f]{40}$/.test(commit))
      throw new EngineError("download_failed", `${name}: commit "${commit}"`);
    const listed = await tree(listFiles({ ...ask, repo: name, revision: commit, recursive: true }));
    const wanted = choose(listed?.map(({ path }) => path) ?? info.filePaths);
    const files = listed?.filter(({ path }) => wanted.includes(path));
    return { commit, files: files ?? (await fromPaths(hub, name, commit, wanted, signal)) };
  } catch (error) {
    signal.throwIfAborted();
    throw explained(error, hub, name, revision);
  }
}

async function tree(listed: AsyncIterable<ListFileEntry>): Promise<RemoteFile[] | undefined> {
  const files: RemoteFile[] = [];
  try {
    for await (const { type, path, size, oid, lfs } of listed) {
      if (type !== "file") continue;
      // The checksum becomes a file name, so it must be nothing else.
      if (lfs && isSha256(lfs.oid)) files.push({ path, size: lfs.size, etag: lfs.oid });
      else if (oid && isSha1(oid)) files.push({ path, size, etag: oid });
    }
  } catch (error) {
    if (error instanceof HubApiError && [404, 405, 501].includes(error.statusCode)) return undefined;
    throw error;
  }
  return files;
}

/** Simple mirrors have no tree listing: each file tells its own size and checksum. */
async function fromPaths(
  hub: Hub,
  name: string,
  commit: string,
  paths: readonly string[],
  signal: AbortSignal,
) {
  return Promise.all(
    paths.map((path) => describeFile(fileUrl(hub, name, commit, path), path, hub.token, signal)),
  );
}

export function fileUrl(hub: Hub, name: string, commit: string, path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${hub.endpoint}/${name}/resolve/${commit}/${encoded}`;
}

function explained(error: unknown, hub: Hub, name: string, revision: string): unknown {
  if (error instanceof EngineError) return error;
  const at = `${name}${revision === "main" ? "" : `@${revision}`} at ${hub.endpoint}`;
  if (error instanceof HubApiError) return refusedByHub(error.statusCode, at, hub.token !== undefined);
  const reason = error instanceof Error ? describeCause(error) : String(error);
  return new EngineError("download_failed", `cannot list ${at}: ${reason}`, {}, { cause: error });
}
