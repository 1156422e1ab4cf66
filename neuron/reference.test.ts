import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { demoFolder, parseReference, sourceOf, withQuant } from "./reference.ts";

const root = mkdtempSync(join(tmpdir(), "neuron-reference-"));

/** A folder under root with these files, empty. */
function folder(name: string, ...files: string[]): string {
  const path = join(root, name);
  for (const file of files) {
    mkdirSync(join(path, file, ".."), { recursive: true });
    writeFileSync(join(path, file), "");
  }
  return path;
}

const safe = folder("safe", "config.json", "model.safetensors");
const flat = folder("flat", "M-Q8_0.gguf", "M-Q4_K_M-00001-of-00002.gguf");
const deep = folder("deep", "Q8_0/M-Q8_0.gguf");
const other = folder("other", "notes.txt", "model.safetensors");

test.each<[string, string, object]>([
  ["a folder of safetensors", safe, { id: "safe", path: safe, quant: undefined }],
  ["a folder of GGUF files", flat, { id: "flat", path: flat, quant: undefined }],
  ["with files one folder down", deep, { id: "deep", path: deep, quant: undefined }],
  ["a folder and a form", `${flat}:q8_0`, { id: "flat:q8_0", path: flat, quant: "q8_0" }],
  ["a file", join(flat, "M-Q8_0.gguf"), { id: "M-Q8_0", path: join(flat, "M-Q8_0.gguf"), quant: undefined }],
  ["a part", join(flat, "M-Q4_K_M-00001-of-00002.gguf"), { id: "M-Q4_K_M" }],
  ["the demo model", "demo", { id: "demo", path: demoFolder, quant: undefined }],
  ["the demo model in a form", "demo:q4_k", { id: "demo:q4_k", path: demoFolder, quant: "q4_k" }],
])("%s", (_, text, reference) => {
  expect(parseReference(text)).toMatchObject({ kind: "local", ...reference });
});

const hub = { name: "org/tiny-GGUF", revision: "main", quant: undefined };

test.each<[string, object]>([
  ["org/tiny-GGUF", {}],
  ["org/tiny-GGUF@v2", { revision: "v2" }],
  ["org/tiny-GGUF@refs/pr/3", { revision: "refs/pr/3" }],
  ["org/tiny-GGUF:Q4_K_M", { quant: "Q4_K_M" }],
  ["org/tiny-GGUF@v2:UD-Q4_K_XL", { revision: "v2", quant: "UD-Q4_K_XL" }],
  ["org/tiny-GGUF:tiny.Q8_0.gguf", { quant: "tiny.Q8_0.gguf" }],
  ["org/tiny-GGUF:Q8_0/tiny-00001-of-00002.gguf", { quant: "Q8_0/tiny-00001-of-00002.gguf" }],
  ["hf.co/org/tiny-GGUF:Q8_0", { quant: "Q8_0" }],
  ["https://huggingface.co/org/tiny-GGUF", {}],
])("%s", (text, more) => {
  expect(parseReference(text)).toEqual({ kind: "hub", id: text, ...hub, ...more });
});

test.each([
  ["/no/where", "model folder /no/where does not exist"],
  ["/no/where.gguf", "model file /no/where.gguf does not exist"],
  ["/no/where:q8_0", "model folder /no/where does not exist"],
  [other, "holds neither config.json nor a .gguf file"],
  [join(safe, "model.safetensors"), "is a file, and no .gguf"],
  ["what", "what: neither a folder or .gguf file here"],
  ["org/name@", "neither"],
  ["org/name:", "neither"],
  ["org/name:a/b", "neither"],
  ["a/b/c", "neither"],
])("%s is refused", (text, message) => {
  expect(() => parseReference(text)).toThrow(EngineError);
  expect(() => parseReference(text)).toThrow(message);
});

describe("the form that is asked for beside a reference", () => {
  const plain = parseReference("org/tiny-GGUF");
  const own = parseReference("org/tiny-GGUF:Q4_K_M");

  test("counts where the reference says none", () => {
    expect(withQuant(plain, "q8_0")).toEqual({ ...plain, quant: "q8_0" });
    expect(withQuant(own, undefined)).toBe(own);
    expect(withQuant(own, "q4_k_m")).toBe(own);
  });

  test("may not contradict", () => {
    expect(() => withQuant(own, "q8_0")).toThrow("quant: is q8_0, and org/tiny-GGUF:Q4_K_M asks for Q4_K_M");
  });

  test("makes another source", () => {
    expect([plain, withQuant(plain, "q8_0"), parseReference(`${flat}:q8_0`)].map(sourceOf)).toEqual([
      "org/tiny-GGUF@main",
      "org/tiny-GGUF@main:q8_0",
      `${flat}:q8_0`,
    ]);
  });
});
