// Which files of a repository, or of its copy here, make the model that was asked for.

import { EngineError } from "../engine/errors.ts";
import { blockTypeOf, chooseWeights, labelOf, partsOf, towerFiles } from "../engine/formats/locate.ts";

export interface Selection {
  /** The GGUF file to load, the first part of a split one; undefined: the folder's safetensors. */
  gguf: string | undefined;
  /** What its floats are still to be quantised to. */
  quant: string | undefined;
  /** All that is needed; those are listed, but for shards that only their index names. */
  files: readonly string[];
}

/**
 * Chooses among the files of `where`. Safetensors need what lies beside them, a GGUF file has it all but a vision tower.
 * Errors: bad_request (the choice is open, or floats cannot become `quant`), unsupported_model (a format that we do not
 * read), bad_checkpoint (parts are missing).
 */
export function selectFiles(paths: readonly string[], quant: string | undefined, where: string): Selection {
  const choice = chooseWeights(paths.filter(isNear), quant, where);
  if (choice.kind === "gguf") {
    const left = choice.named ? undefined : quant;
    checkOnlyFile(choice.file, left, where);
    return { gguf: choice.file, quant: left, files: withParts(choice.file, paths, where) };
  }
  if (choice.kind === "safetensors") {
    checkQuant(quant, where);
    return { gguf: undefined, quant, files: paths.filter(goesWithSafetensors) };
  }
  const found = paths.join(", ").slice(0, 300);
  throw new EngineError(
    "unsupported_model",
    `${where} has no safetensors or GGUF weights (it has: ${found})`,
  );
}

export function isWeights(path: string): boolean {
  return path.endsWith(".safetensors") || path.endsWith(".gguf");
}

/** The shards of a model and their settings lie at the top; GGUF files may lie one folder down. */
function isNear(path: string): boolean {
  return path.split("/").length <= (path.endsWith(".gguf") ? 2 : 1);
}

/** Settings, tokenizer, template and weights; nothing of other formats. */
function goesWithSafetensors(path: string): boolean {
  if (/^\d+_Pooling\/config\.json$/.test(path)) return true; // of embedding models
  return (
    !path.includes("/") && /\.(json|jinja|txt|safetensors)$/.test(path) && !path.startsWith("consolidated")
  );
}

/** The only file there is was not chosen by its label: it has to be in floats, or to have no label. */
function checkOnlyFile(file: string, quant: string | undefined, where: string): void {
  const label = labelOf(file);
  if (quant === undefined || label === undefined || /^B?F\d/.test(label)) return;
  throw new EngineError("bad_request", `quant: ${where} has no ${quant}, only ${file}`, { param: "quant" });
}

/** All parts, and the tower that may go with them. */
function withParts(gguf: string, paths: readonly string[], where: string): string[] {
  const label = labelOf(gguf) ?? "";
  if (/^(UD-)?([IT]Q|MXFP)/.test(label)) {
    const message = `${where}: ${gguf} is ${label}; supported are F32, F16, BF16, Q4_0 … Q8_0 and Q2_K … Q6_K`;
    throw new EngineError("unsupported_model", message, { param: "quant" });
  }
  const parts = partsOf(gguf);
  const missing = parts.filter((part) => !paths.includes(part));
  if (missing.length > 0) {
    const message = `${where} lacks ${missing.join(", ")}: ${missing.length} of the ${parts.length} parts`;
    throw new EngineError("bad_checkpoint", message);
  }
  return [...towerFiles(paths, gguf).slice(0, 1), ...parts];
}

function checkQuant(quant: string | undefined, where: string): void {
  if (quant === undefined || blockTypeOf(quant) || /^(bf16|f16|f32)$/i.test(quant)) return;
  const what = "and floats become q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k or q6_k";
  throw new EngineError("bad_request", `quant: ${where} has safetensors and no ${quant}, ${what}`, {
    param: "quant",
  });
}
