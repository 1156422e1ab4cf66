// Which weights a path means: a model folder of safetensors, or one GGUF file, named itself or chosen in its folder.
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { EngineError } from "../errors.ts";
import { blockTypes, type BlockType } from "./blocks/format.ts";
import { partName } from "./gguf/file.ts";

export { blockTypes } from "./blocks/format.ts";
export { partsOf } from "./gguf/file.ts";

export type ModelPlace =
  | { readonly kind: "safetensors"; readonly folder: string }
  /** `named`: the file was chosen for the quantisation that was asked for. */
  | { readonly kind: "gguf"; readonly file: string; readonly named: boolean };

/** Which of some files are a model's weights. */
export type Choice =
  { readonly kind: "safetensors" | "none" } | Omit<ModelPlace & { kind: "gguf" }, "folder">;

/** Taken among several files where nobody says which, as llama.cpp and Ollama do. */
const usual = "Q4_K_M";

/** As chooseWeights, in a folder or for a file itself. Errors: bad_request when the choice is open. */
export async function locateModel(path: string, quant?: string): Promise<ModelPlace> {
  if (path.endsWith(".gguf")) return { kind: "gguf", file: path, named: false };
  const choice = chooseWeights(await namesIn(path), quant, path);
  return choice.kind === "gguf"
    ? { ...choice, file: join(path, choice.file) }
    : { kind: "safetensors", folder: path };
}

/**
 * Chooses among a folder's files, named from it on. `quant` is a file's name, or the label in it: Q4_K_M by "q4_k_m", or
 * by "q4_k" where that is the only one or the middle one of its kind. Safetensors come first, unless a GGUF file has
 * just this label. `where` is for messages. Errors: bad_request when the choice is open, with what there is.
 */
export function chooseWeights(names: readonly string[], quant: string | undefined, where: string): Choice {
  const files = names.filter(isModel);
  const hasSafetensors = names.includes("config.json") && names.some((name) => name.endsWith(".safetensors"));
  const match = quant === undefined ? undefined : chosen(files, quant);
  if (match !== undefined) return { kind: "gguf", file: match, named: true };
  if (hasSafetensors) return { kind: "safetensors" };
  if (files.length === 0) return { kind: "none" };
  if (files.length === 1 && !quant?.endsWith(".gguf")) return { kind: "gguf", file: files[0]!, named: false };
  const middle = quant === undefined ? chosen(files, usual) : undefined;
  if (middle !== undefined) return { kind: "gguf", file: middle, named: true };
  const list = files.map((name) => labelOf(name)?.toLowerCase() ?? name).join(", ");
  const what = quant === undefined ? "has several GGUF files" : `has no GGUF file of the one kind ${quant}`;
  throw new EngineError("bad_request", `quant: ${where} ${what}; name one of ${list}`, { param: "quant" });
}

/** The models among a folder's files: of split ones the first part. */
export function modelFiles(names: readonly string[]): string[] {
  return names.filter(isModel);
}

/** Files with a vision tower that may go with a model, the likeliest first: in floats before quantised. */
export function towerFiles(names: readonly string[], model: string): string[] {
  const order = ["F16", "BF16", "F32"];
  const rank = (name: string) => [...order, labelOf(name)].indexOf(labelOf(name));
  const near = (name: string) => dirname(name) === dirname(model) || dirname(name) === ".";
  return names.filter((name) => isTower(name) && near(name)).sort((a, b) => rank(a) - rank(b));
}

/** A block type by the names that people give it: q4_k, Q4_K_M, q4k. Undefined: it is none. */
export function blockTypeOf(quant: string): BlockType | undefined {
  const match = /^(q\d)_?(k|0|1)(_?[sml])?$/i.exec(quant);
  const name = match ? `${match[1]}_${match[2]}`.toUpperCase() : undefined;
  return blockTypes.find((type) => type === name);
}

/** The label of a file's name: Q4_K_M of Qwen3-0.6B-Q4_K_M.gguf. */
export function labelOf(file: string): string | undefined {
  const stem = basename(file)
    .replace(/\.gguf$/, "")
    .replace(/-\d{5}-of-\d{5}$/, "");
  return /[-._]((?:UD-)?(?:[IT]?Q\d\w*|BF16|F16|F32|MXFP4\w*))$/i.exec(stem)?.[1]?.toUpperCase();
}

/** A folder's files, and those one folder down; none where there is no folder (which is then told by who reads it). */
export async function namesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .map(async ({ name }) => {
      const names = await readdir(join(path, name)).catch(() => []);
      return names.filter((inner) => inner.endsWith(".gguf")).map((inner) => join(name, inner));
    });
  return [...entries.map(({ name }) => name), ...(await Promise.all(below)).flat()].sort();
}

/** Not a file for something else that lies beside models, nor a part but the first. */
function isModel(file: string): boolean {
  const name = basename(file);
  if (!name.endsWith(".gguf") || isTower(name) || /^mtp-|imatrix/i.test(name)) return false;
  const part = partName.exec(name);
  return !part || part[2] === "00001";
}

function isTower(file: string): boolean {
  return /mmproj.*\.gguf$/i.test(basename(file));
}

function chosen(files: readonly string[], quant: string): string | undefined {
  const wanted = quant.toUpperCase();
  const labelled = files.map((name) => ({ name, label: labelOf(name) ?? "" }));
  const named = labelled.filter(({ name }) => [name, basename(name)].some((n) => n.toUpperCase() === wanted));
  const exact = labelled.filter(({ label }) => label === wanted);
  const plain = labelled.filter(({ label }) => label.replace(/^UD-/, "") === wanted);
  const kinds = labelled.filter(({ label }) => label.startsWith(`${wanted}_`));
  const middle = kinds.filter(({ label }) => label === `${wanted}_M`);
  return [named, exact, plain, middle, kinds].find((group) => group.length === 1)?.[0]?.name;
}
