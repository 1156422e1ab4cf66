// Which files make up a checkpoint. A folder is read as transformers reads it: model.safetensors, else the shards
// that model.safetensors.index.json names; and, beyond it, shards without an index when their set is complete.
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { EngineError } from "../errors.ts";
import { bad } from "./header.ts";

const single = "model.safetensors";
const index = "model.safetensors.index.json";
/** `model-00001-of-00003.safetensors`, or `model.safetensors-00001-of-00002.safetensors` as some repositories have. */
const shardName = /^model(?:\.safetensors)?-(\d{5})-of-(\d{5})\.safetensors$/;

export interface FolderPlan {
  /** Names of the safetensors files, in the order of their shards. */
  files: string[];
  /** Tensor → file, where an index says so; else every tensor of every file counts. */
  weightMap: ReadonlyMap<string, string> | undefined;
  /** Everything in the folder. */
  found: readonly string[];
}

/**
 * Finds the weights of a model folder that has a config.json.
 * Errors: model_not_found (no such folder), unsupported_model (only formats that we do not read),
 * bad_checkpoint (not a folder, files missing).
 */
export async function planFolder(folder: string): Promise<FolderPlan> {
  const found = await listFolder(folder);
  if (!found.includes("config.json")) throw refuse(folder, found, "config.json");
  if (found.includes(single)) return { files: [single], weightMap: undefined, found };
  if (found.includes(index)) return indexed(folder, found);
  const shards = found.filter((name) => shardName.test(name)).sort();
  if (shards.length === 0) throw refuse(folder, found, `${single} or ${index}`);
  checkComplete(folder, shards);
  return { files: shards, weightMap: undefined, found };
}

/** A JSON file that must hold an object. Errors: bad_checkpoint with the file's path. */
export async function readJsonObject(path: string): Promise<Readonly<Record<string, unknown>>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw bad(path, "does not exist");
    throw bad(path, error instanceof SyntaxError ? `is not JSON: ${message}` : `cannot be read: ${message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(path, "does not hold a JSON object");
  }
  return value as Record<string, unknown>;
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new EngineError("model_not_found", `model folder ${folder} does not exist`);
    }
    if (code !== "ENOTDIR") throw bad(folder, `cannot be listed: ${message}`);
    throw bad(
      folder,
      "is a file; a model is given as the folder that holds its config.json, or as a .gguf file",
    );
  }
}

async function indexed(folder: string, found: readonly string[]): Promise<FolderPlan> {
  const path = join(folder, index);
  const map = (await readJsonObject(path))["weight_map"];
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw bad(path, "has no weight_map (an object, tensor → file)");
  }
  const weightMap = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || basename(file) !== file || !file.endsWith(".safetensors")) {
      throw bad(
        path,
        `weight_map.${tensor} is ${JSON.stringify(file)}, not a .safetensors file beside the index`,
      );
    }
    weightMap.set(tensor, file);
  }
  const files = [...new Set(weightMap.values())].sort();
  const missing = files.filter((file) => !found.includes(file));
  if (missing.length > 0) {
    throw bad(path, `names ${counted(missing, files.length)} which the folder lacks: ${some(missing)}`);
  }
  return { files, weightMap, found };
}

function checkComplete(folder: string, shards: readonly string[]): void {
  const count = Number(shardName.exec(shards[0]!)![2]);
  const numbers = shards.map((name) => shardName.exec(name)!.slice(1).map(Number) as [number, number]);
  const complete = shards.length === count && numbers.every(([i, of], at) => i === at + 1 && of === count);
  if (!complete) {
    throw bad(folder, `has neither ${index} nor a complete set of shards; it has ${some(shards)}`);
  }
}

/** Says what the folder lacks, what it has, and what to do about it. */
function refuse(folder: string, found: readonly string[], missing: string): EngineError {
  const holds = found.length === 0 ? "it is empty" : `it holds ${some(found)}`;
  if (found.includes("snapshots")) {
    return bad(
      folder,
      `has no ${missing}; it is an entry of the hub cache: give the folder in its snapshots/`,
    );
  }
  if (found.some((name) => name.endsWith(".safetensors"))) return bad(folder, `has no ${missing}; ${holds}`);
  if (found.some((name) => /\.(bin|pt|pth)$/.test(name))) {
    return unreadFormat(folder, `holds PyTorch files: ${some(found)}`);
  }
  return bad(folder, `has no ${missing}; ${holds}`);
}

function unreadFormat(path: string, what: string): EngineError {
  return new EngineError(
    "unsupported_model",
    `${path} ${what}. Supported are safetensors and GGUF: use the repository (or revision) of this model that has them`,
  );
}

function counted(part: readonly string[], of: number): string {
  return `${of} ${of === 1 ? "file" : "files"}, ${part.length} of`;
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
