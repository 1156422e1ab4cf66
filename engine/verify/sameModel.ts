// Whether weights given apart are another form of the model whose reference is at hand, before any of them is read.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { readJsonObject } from "../formats/folder.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";

/** By what config.json calls them. */
const facts: Readonly<Record<string, (config: ModelConfig) => number | string>> = {
  model_type: ({ modelType }) => modelType,
  vocab_size: ({ vocab }) => vocab,
  hidden_size: ({ hidden }) => hidden,
  num_hidden_layers: ({ layers }) => layers,
  num_attention_heads: ({ heads }) => heads,
  num_key_value_heads: ({ kvHeads }) => kvHeads,
  head_dim: ({ headDim }) => headDim,
  /** Where there are experts, theirs: what a form says of dense layers that are not there is not to be relied on. */
  intermediate_size: ({ intermediate, experts }) => experts?.intermediate ?? intermediate,
};

/** Errors: bad_request with every fact that differs; as reading the folder's config.json, where it has one. */
export async function checkSameModel(folder: string, weights: string, config: ModelConfig): Promise<void> {
  const path = join(folder, "config.json");
  if (!existsSync(path)) return;
  const reference = parseConfig(await readJsonObject(path), path);
  const others = differing(config, reference);
  if (others.length === 0) return;
  throw new EngineError("bad_request", `${weights} is another model than ${folder}: ${others.join(", ")}`);
}

/** "vocab_size 128 for 64" */
export function differing(config: ModelConfig, reference: ModelConfig): string[] {
  return Object.entries(facts)
    .filter(([, of]) => of(config) !== of(reference))
    .map(([name, of]) => `${name} ${of(config)} for ${of(reference)}`);
}
