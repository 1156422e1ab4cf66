// For tests: the reference's cases on disk, read at once (small files). Layout: README.md beside this file.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { headerLength, parseHeader, type TensorEntry } from "../engine/formats/header.ts";
import { packageRoot } from "../engine/root.ts";

/** A case of inputs.json. */
export interface CaseInputs {
  name: string;
  input_ids: number[];
  greedy_ids: number[];
  /** Path of the golden file, relative to the folder. */
  golden: string;
  [key: string]: unknown;
}

export interface GoldenTensor {
  shape: readonly number[];
  /** F32 as it is; I64 as numbers. */
  data: Float32Array | number[];
}

export interface Golden {
  inputs: CaseInputs;
  tensors: Map<string, GoldenTensor>;
}

/** The demo model's folder. */
export const demoModel = join(packageRoot, "test-fixtures", "demo-model", "model");

/** A folder of more reference models than the project's own; a wrong name is an error, not an empty list. */
export const moreReferences = process.env["CORTEX_REFERENCE"] || undefined;

/** Folders with a model, inputs.json, meta.json and goldens: those of the project and those in CORTEX_REFERENCE. */
export function referenceFolders(): string[] {
  const own = join(packageRoot, "test-fixtures", "reference");
  return [own, ...(moreReferences === undefined ? [] : [moreReferences])].flatMap(foldersIn);
}

function foldersIn(root: string): string[] {
  const complete = (folder: string) =>
    ["config.json", "inputs.json", "meta.json"].every((file) => existsSync(join(folder, file)));
  return readdirSync(root)
    .sort()
    .map((name) => join(root, name))
    .filter(complete);
}

/** The cases of a folder, in their order. */
export function caseNames(folder: string): string[] {
  return casesOf(folder).map(({ name }) => name);
}

export function loadGolden(folder: string, caseName: string): Golden {
  const inputs = casesOf(folder).find(({ name }) => name === caseName);
  if (!inputs) throw new Error(`${folder}: no case ${caseName}`);
  return { inputs, tensors: loadTensors(join(folder, inputs.golden)) };
}

/** Every tensor of a small safetensors file of F32 and I64. */
export function loadTensors(path: string): Map<string, GoldenTensor> {
  const bytes = new Uint8Array(readFileSync(path)); // a Buffer would share what it slices
  const length = headerLength(bytes.subarray(0, 8), path, bytes.length);
  const dataStart = 8 + length;
  const place = { file: path, dataStart, dataBytes: bytes.length - dataStart };
  const { tensors } = parseHeader(bytes.subarray(8, dataStart), place);
  return new Map([...tensors].map(([name, entry]) => [name, { shape: entry.shape, data: values(bytes, entry) }]));
}

function values(file: Uint8Array, entry: TensorEntry): Float32Array | number[] {
  const { buffer } = file.slice(entry.offset, entry.offset + entry.bytes);
  if (entry.dtype === "F32") return new Float32Array(buffer);
  if (entry.dtype === "I64") return Array.from(new BigInt64Array(buffer), Number);
  throw new Error(`${entry.file}: ${entry.name} is ${entry.dtype}; goldens hold F32 and I64`);
}

function casesOf(folder: string): CaseInputs[] {
  const { cases } = JSON.parse(readFileSync(join(folder, "inputs.json"), "utf8")) as { cases: CaseInputs[] };
  return cases;
}
