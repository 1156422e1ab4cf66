// A GGUF file as a checkpoint: tensors by the names and in the order of rows that model files know, settings in the
// form of config.json.
import { isBlockType } from "../blocks/format.ts";
import { bad, type TensorEntry } from "../header.ts";
import type { TensorFile } from "../safetensors.ts";
import { checkBlocks, Keys, configFromGguf, generationFromGguf, layersOf } from "./config.ts";
import { openGgufParts } from "./file.ts";
import { architectureOf, isHybrid, nameRules, type Change } from "./names.ts";
import { openTower, type GgufTower } from "./tower.ts";
import type { Metadata } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** A tensor by its name here, and how its stored rows or values become those of a checkpoint. */
export interface GgufTensor {
  readonly entry: TensorEntry;
  readonly file: TensorFile;
  /** Rows of a head, where the two halves of its rows take turns in the file. */
  readonly pairedRows?: number;
  readonly value?: (stored: number) => number;
  /** Tensors of which it takes `bytes` by turns. */
  readonly pieces?: { readonly of: readonly TensorEntry[]; readonly bytes: number };
}

export interface GgufContents {
  readonly path: string;
  readonly config: Json;
  readonly generationConfig: Json;
  /** preprocessor_config.json, where there is a vision tower. */
  readonly preprocessor: Json | undefined;
  readonly files: readonly TensorFile[];
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Opens a file, or all parts of one. Errors: bad_checkpoint, unsupported_model; no file stays open then. */
export async function openGgufContents(path: string): Promise<GgufContents> {
  const parts = await openGgufParts(path);
  const files: TensorFile[] = [...parts];
  try {
    const { metadata } = parts[0]!;
    const architecture = architectureOf(metadata.get("general.architecture"), path);
    const stored = storedTensors(parts);
    const of = new Keys(path, architecture, metadata);
    checkBlocks(of, stored.keys(), "blk.");
    const headDim = of.number("attention.key_length") ?? headWidth(of);
    const tensors = new Map<string, GgufTensor>();
    for (const { hf, gguf, change } of nameRules(architecture, layersOf(of) ?? 0)) {
      const found = stored.get(gguf);
      if (found) tensors.set(hf, undone(hf, found, change, headDim));
    }
    const entries = new Map([...stored].map(([name, { entry }]) => [name, entry]));
    const facts = { path, metadata, tensors: entries, ropeFactors: await ropeFactors(stored) };
    const tower = isHybrid(architecture)
      ? await openTower(path, of.number("embedding_length") ?? 0)
      : undefined;
    if (tower) files.push(tower.file);
    for (const [name, tensor] of tower?.tensors ?? []) tensors.set(name, tensor);
    const config = { ...configFromGguf(facts), ...(tower ? visionFromGguf(tower, metadata) : {}) };
    const generationConfig = generationFromGguf(metadata);
    return { path, config, generationConfig, preprocessor: tower?.preprocessor, files, tensors };
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/** What config.json has beside the language model's settings. */
function visionFromGguf({ config }: GgufTower, metadata: Metadata): Json {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const image = Array.isArray(tokens) ? tokens.indexOf("<|image_pad|>") : -1;
  return { vision_config: config, ...(image < 0 ? {} : { image_token_id: image }) };
}

interface Stored {
  entry: TensorEntry;
  file: TensorFile;
}

function storedTensors(files: readonly TensorFile[]): Map<string, Stored> {
  const stored = new Map<string, Stored>();
  for (const file of files) {
    for (const [name, entry] of file.tensors) {
      const other = stored.get(name);
      if (other) throw bad(file.path, `tensor ${name} is in ${other.file.path} as well`);
      stored.set(name, { entry, file });
    }
  }
  return stored;
}

function headWidth(of: Keys): number {
  return (of.number("embedding_length") ?? 0) / (of.number("attention.head_count") ?? 1);
}

function undone(
  name: string,
  { entry, file }: Stored,
  change: Change | undefined,
  headDim: number,
): GgufTensor {
  const renamed = { ...entry, name };
  switch (change) {
    case undefined:
      return { entry: renamed, file };
    case "pairs":
      if (isBlockType(entry.dtype) && entry.shape.length === 1) {
        throw bad(
          entry.file,
          `tensor ${entry.name} is a vector of ${entry.dtype}, whose rows cannot be told apart`,
        );
      }
      return { entry: renamed, file, pairedRows: headDim };
    case "plus one":
      return { entry: renamed, file, value: (stored) => stored - 1 };
    case "negative exp":
      return { entry: renamed, file, value: (stored) => Math.log(-stored) };
    case "squeezed":
      return { entry: { ...renamed, shape: [entry.shape[0] ?? 0, 1, ...entry.shape.slice(1)] }, file };
    case "a row":
      return { entry: { ...renamed, shape: [1, ...entry.shape] }, file };
    default:
      return change satisfies never;
  }
}

/** What each rotary frequency is divided by; Llama 3.1 and later have it instead of metadata. */
async function ropeFactors(stored: ReadonlyMap<string, Stored>): Promise<number[] | undefined> {
  const found = stored.get("rope_freqs.weight");
  if (!found) return undefined;
  const { entry, file } = found;
  if (entry.dtype !== "F32")
    throw bad(entry.file, `tensor rope_freqs.weight is ${entry.dtype}: F32 is expected`);
  const bytes = new Uint8Array(entry.bytes);
  await file.read(entry, 0, bytes);
  return [...new Float32Array(bytes.buffer)];
}
