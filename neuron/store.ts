// `neuron pull` and `neuron ls`: the models on this disk.

import { existsSync } from "node:fs";
import { scanCacheDir } from "@huggingface/hub";
import type { Hub } from "./hub.ts";
import { progressLine, size } from "./log.ts";
import type { Log } from "./log.ts";
import { demoFolder, parseReference } from "./reference.ts";
import { cachedSnapshot, snapshot } from "./snapshot.ts";

/** The folder of a model, downloaded or brought up to date first; what is a folder already is only looked for. */
export async function pull(reference: string, hub: Hub, log: Log, signal: AbortSignal): Promise<string> {
  const parsed = parseReference(reference);
  if (parsed.kind === "folder") return parsed.folder;
  return snapshot(hub, parsed.name, parsed.revision, {
    signal,
    refresh: true,
    onProgress: (bytes, total) => log.progress(progressLine(`${reference}: downloading`, bytes, total)),
    onNote: (line) => log.info(line),
  });
}

export interface StoredModel {
  /** What --model takes. */
  id: string;
  bytes: number | null;
  /** False when a download was not finished, or when it is a model of a kind that we do not read. */
  complete: boolean;
  folder: string;
}

/** The demo model and what the hub's cache holds, by name. */
export async function storedModels(hub: Hub): Promise<StoredModel[]> {
  const demo = existsSync(demoFolder)
    ? [{ id: "demo", bytes: null, complete: true, folder: demoFolder }]
    : [];
  if (!existsSync(hub.cacheFolder)) return demo;
  const { repos } = await scanCacheDir(hub.cacheFolder);
  const models = repos.filter(({ id }) => id.type === "model");
  const found = await Promise.all(
    models.flatMap(({ id: { name }, revisions }) =>
      revisions.map(async ({ commitOid, refs, path, size: bytes }) => {
        const revision = refs.includes("main") ? "main" : (refs[0] ?? commitOid);
        const complete = (await cachedSnapshot(hub, name, commitOid).catch(() => undefined)) !== undefined;
        return { id: revision === "main" ? name : `${name}@${revision}`, bytes, complete, folder: path };
      }),
    ),
  );
  return [...demo, ...found.sort((a, b) => a.id.localeCompare(b.id))];
}

export function formatModels(models: readonly StoredModel[], hub: Hub): string {
  if (models.length === 0) return `no models in ${hub.cacheFolder}`;
  const width = Math.max(...models.map(({ id }) => id.length));
  return models
    .map(({ id, bytes, complete, folder }) => {
      const amount = (bytes === null ? "" : size(bytes)).padStart(9);
      return `${id.padEnd(width)}  ${amount}  ${complete ? "complete  " : "incomplete"}  ${folder}`;
    })
    .join("\n");
}
