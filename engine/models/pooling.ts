// Whether a checkpoint makes embeddings instead of text, and how it says so: a folder by the modules that
// sentence-transformers lists, a GGUF file by its pooling_type.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { readJsonObject } from "../formats/folder.ts";
import { parseConfig, type ModelConfig } from "./config.ts";

/** GGUF's pooling_type: by number. */
const ggufPooling = ["none", "mean", "cls", "last", "rank"];

/**
 * The settings of a checkpoint, as parseConfig reads them, and how it pools.
 * Errors: as parseConfig; unsupported_model for embeddings of another family than qwen3 or pooled otherwise than by the
 * last token; bad_checkpoint.
 */
export async function configOf(checkpoint: Checkpoint): Promise<ModelConfig> {
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const pooling =
    checkpoint.format === "gguf" ? poolingOfGguf(checkpoint) : await poolingOf(checkpoint.folder);
  if (pooling === undefined || pooling === "none") return config;
  const known = "embeddings are made by qwen3 checkpoints that pool the last token";
  if (pooling !== "last" || config.modelType !== "qwen3") {
    const what = `${config.modelType} with ${pooling} pooling`;
    throw new EngineError("unsupported_model", `${checkpoint.folder}: ${what}; ${known}`);
  }
  // Saved without the model around it, the decoder's tensors have no prefix.
  const prefix = checkpoint.has("model.embed_tokens.weight") ? "model." : "";
  return { ...config, pooling, prefix };
}

function poolingOfGguf({ config }: Checkpoint): string | undefined {
  const type = config["pooling_type"];
  return typeof type === "number" ? (ggufPooling[type] ?? `type ${type}`) : undefined;
}

async function poolingOf(folder: string): Promise<string | undefined> {
  const file = join(folder, "modules.json");
  if (!existsSync(file)) return undefined;
  const pooling = (await modulesIn(file)).find(({ type }) => String(type).endsWith(".Pooling"));
  if (typeof pooling?.path !== "string") return undefined;
  const settings = await readJsonObject(join(folder, pooling.path, "config.json"));
  const modes = Object.entries(settings)
    .filter(([name, value]) => name.startsWith("pooling_mode_") && value === true)
    .map(([name]) => name.slice("pooling_mode_".length));
  return modes.length === 1 && modes[0] === "lasttoken" ? "last" : modes.join("+");
}

async function modulesIn(file: string): Promise<{ type?: unknown; path?: unknown }[]> {
  let modules: unknown;
  try {
    modules = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new EngineError("bad_checkpoint", `${file} is not JSON: ${(error as Error).message}`);
  }
  if (Array.isArray(modules) && modules.every((one) => typeof one === "object" && one !== null))
    return modules;
  throw new EngineError("bad_checkpoint", `${file} holds no list of modules`);
}
