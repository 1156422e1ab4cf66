// Each fact by which another model is told: one that no longer counts lets its weights through.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { packageRoot } from "../root.ts";
import { checkSameModel, differing } from "./sameModel.ts";

function read(name: string): ModelConfig {
  const path = join(packageRoot, "test-fixtures/reference", name, "config.json");
  return parseConfig(JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>, path);
}

const dense = read("qwen3-tiny-tied");
const experts = read("qwen3_5_moe-tiny");

test.each<[string, Partial<ModelConfig>]>([
  ["model_type qwen2 for qwen3", { modelType: "qwen2" }],
  [`vocab_size 7 for ${dense.vocab}`, { vocab: 7 }],
  [`hidden_size 7 for ${dense.hidden}`, { hidden: 7 }],
  [`num_hidden_layers 7 for ${dense.layers}`, { layers: 7 }],
  [`num_attention_heads 7 for ${dense.heads}`, { heads: 7 }],
  [`num_key_value_heads 7 for ${dense.kvHeads}`, { kvHeads: 7 }],
  [`head_dim 7 for ${dense.headDim}`, { headDim: 7 }],
  [`intermediate_size 7 for ${dense.intermediate}`, { intermediate: 7 }],
])("%s", (words, change) => {
  expect(differing({ ...dense, ...change } as ModelConfig, dense)).toEqual([words]);
});

test("where there are experts, it is their width that counts", () => {
  expect(differing({ ...experts, intermediate: 7 }, experts)).toEqual([]);
  const { intermediate } = experts.experts!;
  const others = { ...experts, experts: { ...experts.experts!, intermediate: 7 } };
  expect(differing(others, experts)).toEqual([`intermediate_size 7 for ${intermediate}`]);
});

test("a folder without config.json is held to nothing; with one, every difference is told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "same-model-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await checkSameModel(folder, "w.gguf", { ...dense, layers: 7 });
  const reference = join(packageRoot, "test-fixtures/reference/qwen3-tiny-tied");
  writeFileSync(join(folder, "config.json"), readFileSync(join(reference, "config.json")));
  await checkSameModel(folder, "w.gguf", dense);
  await expect(checkSameModel(folder, "w.gguf", { ...dense, layers: 7, heads: 9 })).rejects.toMatchObject({
    code: "bad_request",
    message: `w.gguf is another model than ${folder}: num_hidden_layers 7 for ${dense.layers}, num_attention_heads 9 for ${dense.heads}`,
  });
});
