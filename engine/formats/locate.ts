// Which weights a path means: a model folder of safetensors, or one GGUF file, named itself or chosen in its folder.
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { EngineError } from "../errors.ts";
import { blockTypes, type BlockType } from "./blocks/format.ts";
import { partName } from "./gguf/file.ts";

export type ModelPlace =
  | { readonly kind: "safetensors"; readonly folder: string }
  /** `named`: the file was chosen for the quantisation that was asked for. */
  | { readonly kind: "gguf"; readonly file: string; readonly named: boolean };

/**
 * `quant` chooses among a folder's GGUF files by the label in their names: Q4_K_M by "q4_k_m", or by "q4_k" where that
 * is the only one or the middle one of its kind. A folder with safetensors is read as that, unless a GGUF file has
 * just this label. Errors: bad_request when the choice is open, with what there is.
 */
export async function locateModel(path: string, quant?: string): Promise<ModelPlace> {
  if (path.endsWith(".gguf")) return { kind: "gguf", file: path, named: false };
  const found = await namesIn(path);
  const files = found.filter(isModel);
  const folder: ModelPlace = { kind: "safetensors", folder: path };
  if (files.length === 0) return folder;
  const hasSafetensors = found.includes("config.json") && found.some((name) => name.endsWith(".safetensors"));
  const match = quant === undefined ? undefined : chosen(files, quant);
  if (match) return { kind: "gguf", file: join(path, match), named: true };
  if (hasSafetensors) return folder;
  if (files.length === 1) return { kind: "gguf", file: join(path, files[0]!), named: false };
  const list = files.map((name) => labelOf(name)?.toLowerCase() ?? name).join(", ");
  const what = quant === undefined ? "has several GGUF files" : `has no GGUF file of the one kind ${quant}`;
  throw new EngineError("bad_request", `quant: ${path} ${what}; name one of ${list}`);
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
  return /[-._]((?:UD-)?(?:I?Q\d\w*|BF16|F16|F32|MXFP4\w*))$/i.exec(stem)?.[1]?.toUpperCase();
}

/** The folder's files, and those one folder down; none where there is no folder (which is then told by who reads it). */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .map(async ({ name }) => {
      const names = await readdir(join(folder, name)).catch(() => []);
      return names.filter((inner) => inner.endsWith(".gguf")).map((inner) => join(name, inner));
    });
  return [...entries.map(({ name }) => name), ...(await Promise.all(below)).flat()].sort();
}

/** Not a file for something else that lies beside models, nor a part but the first. */
function isModel(file: string): boolean {
  const name = basename(file);
  if (!name.endsWith(".gguf") || /^(mmproj|mtp)-|mmproj|imatrix/i.test(name)) return false;
  const part = partName.exec(name);
  return !part || part[2] === "00001";
}

function chosen(files: readonly string[], quant: string): string | undefined {
  const wanted = quant.toUpperCase();
  const labelled = files.map((name) => ({ name, label: labelOf(name) ?? "" }));
  const exact = labelled.filter(({ label }) => label === wanted);
  const plain = labelled.filter(({ label }) => label.replace(/^UD-/, "") === wanted);
  const kinds = labelled.filter(({ label }) => label.startsWith(`${wanted}_`));
  const middle = kinds.filter(({ label }) => label === `${wanted}_M`);
  return [exact, plain, middle, kinds].find((group) => group.length === 1)?.[0]?.name;
}
