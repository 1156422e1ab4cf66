import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { blockTypeOf, labelOf, locateModel, towerFiles } from "./locate.ts";

const root = mkdtempSync(join(tmpdir(), "locate-"));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
function folderOf(...names: string[]): string {
  const folder = join(root, String(count++));
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), "");
  }
  return folder;
}

const safetensors = ["config.json", "model.safetensors"];
const sidecars = ["mmproj-F16.gguf", "Qwen.mmproj-BF16.gguf", "imatrix_unsloth.gguf", "mtp-Q-Q8_0.gguf"];
const several = ["M-Q4_K_M.gguf", "M-Q4_K_S.gguf", "M-Q8_0.gguf", "M-UD-Q4_K_XL.gguf", "M-BF16.gguf"];

test.each<[string, string[], string | undefined, string]>([
  ["one file", ["M-Q4_K_M.gguf", ...sidecars], undefined, "M-Q4_K_M.gguf"],
  ["one file, whatever its name", ["weights.gguf"], undefined, "weights.gguf"],
  ["by its label", several, "q8_0", "M-Q8_0.gguf"],
  ["by its name", several, "m-ud-q4_k_xl.gguf", "M-UD-Q4_K_XL.gguf"],
  ["by its whole label", several, "Q4_K_S", "M-Q4_K_S.gguf"],
  ["by its kind: the middle one", several, "q4_k", "M-Q4_K_M.gguf"],
  ["by its kind: the only one", ["M-Q5_K_S.gguf", "M-Q8_0.gguf"], "q5_k", "M-Q5_K_S.gguf"],
  ["a label with a prefix", several, "ud-q4_k_xl", "M-UD-Q4_K_XL.gguf"],
  ["the prefix left out", several, "q4_k_xl", "M-UD-Q4_K_XL.gguf"],
  ["without the prefix before with it", ["M-UD-Q4_K_M.gguf", "M-Q4_K_M.gguf"], "q4_k_m", "M-Q4_K_M.gguf"],
  [
    "the first part",
    ["M-Q8_0-00002-of-00002.gguf", "M-Q8_0-00001-of-00002.gguf"],
    undefined,
    "M-Q8_0-00001-of-00002.gguf",
  ],
  [
    "a folder further down",
    ["Q4_K_M/M-Q4_K_M-00001-of-00001.gguf", "M-Q8_0.gguf"],
    "q4_k_m",
    "Q4_K_M/M-Q4_K_M-00001-of-00001.gguf",
  ],
  [
    "a GGUF file beside safetensors, where it is asked for",
    [...safetensors, ...several],
    "q8_0",
    "M-Q8_0.gguf",
  ],
])("%s", async (_, names, quant, file) => {
  const folder = folderOf(...names);
  expect(await locateModel(folder, quant)).toEqual({
    kind: "gguf",
    file: join(folder, file),
    named: quant !== undefined,
  });
});

test("several files and nobody says which: the usual one", async () => {
  const folder = folderOf(...several);
  expect(await locateModel(folder)).toEqual({
    kind: "gguf",
    file: join(folder, "M-Q4_K_M.gguf"),
    named: true,
  });
});

test.each<[string, string[], string | undefined]>([
  ["safetensors before GGUF", [...safetensors, ...several], undefined],
  ["safetensors to quantise, where no file is like that", [...safetensors, ...several], "q6_k"],
  ["no model at all", ["README.md"], undefined],
  ["only what belongs to models", sidecars, "q8_0"],
])("%s", async (_, names, quant) => {
  const folder = folderOf(...names);
  expect(await locateModel(folder, quant)).toEqual({ kind: "safetensors", folder });
});

test("a file is a file, and what is missing is told elsewhere", async () => {
  expect(await locateModel("/no/where.gguf")).toEqual({ kind: "gguf", file: "/no/where.gguf", named: false });
  expect(await locateModel("/no/where")).toEqual({ kind: "safetensors", folder: "/no/where" });
});

describe("an open choice lists what there is", () => {
  test.each<[string, string | undefined, string]>([
    ["nothing named", undefined, "has several GGUF files; name one of bf16, q4_k_s, q8_0, ud-q4_k_xl"],
    ["another quantisation", "q2_k", "has no GGUF file of the one kind q2_k; name one of bf16, q4_k_s"],
    ["another file", "other.gguf", "has no GGUF file of the one kind other.gguf"],
  ])("%s", async (_, quant, message) => {
    const attempt = locateModel(folderOf(...several.filter((name) => !name.includes("K_M"))), quant);
    await expect(attempt).rejects.toMatchObject({ code: "bad_request", details: { param: "quant" } });
    await expect(attempt).rejects.toThrow(message);
  });

  test("two of a kind", async () => {
    const attempt = locateModel(folderOf("M-Q4_K_S.gguf", "M-Q4_K_L.gguf"), "q4_k");
    await expect(attempt).rejects.toThrow("of the one kind q4_k; name one of q4_k_l, q4_k_s");
  });
});

test("towers that may go with a model: beside it or above it, floats first", () => {
  const names = [
    "mmproj-BF16.gguf",
    "q/M-Q8_0.gguf",
    "x/mmproj-F16.gguf",
    "mmproj-M-f16.gguf",
    "mmproj.gguf",
  ];
  expect(towerFiles([...names, "M-mmproj-Q8_0.gguf", "M-F16.gguf"], join("q", "M-Q8_0.gguf"))).toEqual([
    "mmproj-M-f16.gguf",
    "mmproj-BF16.gguf",
    "mmproj.gguf",
    "M-mmproj-Q8_0.gguf",
  ]);
});

test.each([
  ["Qwen3-0.6B-Q4_K_M.gguf", "Q4_K_M"],
  ["qwen2.5-0.5b-instruct-q8_0.gguf", "Q8_0"],
  ["Llama-3.2-1B.BF16-00001-of-00003.gguf", "BF16"],
  ["Qwen3.5-9B-UD-IQ2_XXS.gguf", "UD-IQ2_XXS"],
  ["weights.gguf", undefined],
  ["M-TQ1_0.gguf", "TQ1_0"],
  ["Q4-team-model.gguf", undefined],
])("the label of %s", (name, label) => {
  expect(labelOf(name)).toBe(label);
});

test.each([
  ["q4_k", "Q4_K"],
  ["Q4_K_M", "Q4_K"],
  ["q4km", "Q4_K"],
  ["q8_0", "Q8_0"],
  ["Q5_1", "Q5_1"],
  ["q8_1", undefined],
  ["q7_k", undefined],
  ["bf16", undefined],
  ["", undefined],
])("%s is the block type %s", (quant, type) => {
  expect(blockTypeOf(quant)).toBe(type);
});
