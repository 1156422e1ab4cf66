// `neuron pull` and `neuron ls`: the models on this disk.

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { scanCacheDir } from "@huggingface/hub";
import type { CachedRevisionInfo } from "@huggingface/hub";
import { EngineError } from "../engine/errors.ts";
import { labelOf, modelFiles, namesIn, partsOf } from "../engine/formats/locate.ts";
import type { Hub } from "./hub.ts";
import { progressLine, size } from "./log.ts";
import type { Log } from "./log.ts";
import { demoFolder, parseReference } from "./reference.ts";
import { isComplete, snapshot } from "./snapshot.ts";

/** A model's folder or GGUF file, downloaded or brought up to date first; what is here already is only looked for. */
export async function pull(reference: string, hub: Hub, log: Log, signal: AbortSignal): Promise<string> {
  const parsed = parseReference(reference);
  if (parsed.kind === "local") return parsed.path;
  const { path } = await snapshot(hub, parsed.name, parsed.revision, {
    quant: parsed.quant,
    signal,
    refresh: true,
    onProgress: (bytes, total) => log.progress(progressLine(`${reference}: downloading`, bytes, total)),
    onNote: (line) => log.info(line),
  });
  return path;
}

export interface StoredModel {
  /** What --model takes. */
  id: string;
  bytes: number | null;
  /** "safetensors", "gguf"; null for a kind that we do not read. */
  format: "safetensors" | "gguf" | null;
  /** False when a download was not finished, or when it is a model of a kind that we do not read. */
  complete: boolean;
  /** The folder, or the GGUF file. */
  path: string;
}

/** The demo model and what the hub's cache holds, by name. */
export async function storedModels(hub: Hub): Promise<StoredModel[]> {
  const demo = { id: "demo", bytes: null, format: "safetensors", complete: true, path: demoFolder } as const;
  const own: StoredModel[] = existsSync(demoFolder) ? [demo] : [];
  if (!existsSync(hub.cacheFolder)) return own;
  if (!statSync(hub.cacheFolder).isDirectory())
    throw new EngineError("bad_config", `the hub cache ${hub.cacheFolder} is a file, not a folder`);
  const { repos } = await scanCacheDir(hub.cacheFolder);
  const models = repos.filter(({ id }) => id.type === "model");
  const found = await Promise.all(
    models.flatMap(({ id, revisions }) => revisions.map((revision) => modelsOf(id.name, revision))),
  );
  return [...own, ...found.flat().sort((a, b) => a.id.localeCompare(b.id))];
}

/** A revision's GGUF files each by itself, and what else it has as one. */
async function modelsOf(name: string, { commitOid, refs, path, files }: CachedRevisionInfo) {
  const revision = refs.includes("main") ? "main" : (refs[0] ?? commitOid);
  const at = revision === "main" ? name : `${name}@${revision}`;
  const names = await namesIn(path);
  const ggufs = modelFiles(names).map((file) => ggufModel(at, path, file, names));
  const others = files.filter((file) => !file.path.endsWith(".gguf"));
  const safetensors = await isComplete(path);
  if (ggufs.length > 0 && !safetensors) return ggufs;
  const bytes = others.reduce((sum, { blob }) => sum + blob.size, 0);
  const weights = names.some((one) => one.endsWith(".safetensors")) || names.includes("config.json");
  const format = weights ? ("safetensors" as const) : null;
  return [...ggufs, { id: at, bytes, format, complete: safetensors, path } satisfies StoredModel];
}

/** Named by its label, or by its whole name where the label does not lead to it. */
function ggufModel(at: string, folder: string, file: string, names: readonly string[]): StoredModel {
  const parts = partsOf(file).filter((part) => names.includes(part));
  const bytes = parts.reduce((sum, part) => sum + statSync(join(folder, part)).size, 0);
  const complete = parts.length === partsOf(file).length;
  const label = labelOf(file);
  const named = label !== undefined && leadsTo(file, label, names) ? label : file;
  return { id: `${at}:${named}`, bytes, format: "gguf", complete, path: join(folder, file) };
}

function leadsTo(file: string, label: string, names: readonly string[]): boolean {
  return modelFiles(names).every((other) => other === file || labelOf(other) !== label);
}

export function formatModels(models: readonly StoredModel[], hub: Hub): string {
  if (models.length === 0) return `no models in ${hub.cacheFolder}`;
  const width = Math.max(...models.map(({ id }) => id.length));
  return models
    .map(({ id, bytes, format, complete, path }) => {
      const amount = (bytes === null ? "" : size(bytes)).padStart(9);
      const state = complete ? "complete  " : "incomplete";
      return `${id.padEnd(width)}  ${amount}  ${(format ?? "unknown").padEnd(11)}  ${state}  ${path}`;
    })
    .join("\n");
}
