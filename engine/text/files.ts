// Reading the small text files of a model folder, with errors that name the file.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";

/** The file's text, or undefined where the folder has no such file. */
export async function readText(folder: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, name), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new EngineError("bad_checkpoint", `${join(folder, name)}: ${(error as Error).message}`);
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** The file as a JSON object, or undefined where the folder has no such file. */
export async function readJsonObject(folder: string, name: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, name);
  if (text === undefined) return undefined;
  const path = join(folder, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EngineError("bad_checkpoint", `${path}: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new EngineError("bad_checkpoint", `${path}: expected a JSON object`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text of a token setting: tokenizer_config.json has strings, or objects with `content`. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}
