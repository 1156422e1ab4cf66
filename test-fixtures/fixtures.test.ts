// The fixtures themselves: small, complete, and (where the full reference is present) the reference's own numbers.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../engine/root.ts";
import { caseNames, demoModel, loadGolden, loadTensors, referenceFolders } from "./golden.ts";

const own = join(packageRoot, "test-fixtures", "reference");
const folders = referenceFolders();
const cases = folders.flatMap((folder) =>
  caseNames(folder).map((name) => ({ title: join(basename(folder), name), folder, name })),
);

test("all of it stays below 26 MiB", () => {
  expect(sizeOf(join(packageRoot, "test-fixtures"))).toBeLessThan(26 * 2 ** 20);
});

test("a case of each runnable family is in the project, and one crosses the delta rule's chunk of 64", () => {
  const inProject = folders.filter((folder) => dirname(folder) === own);
  const types = inProject.map((folder) => jsonOf(join(folder, "config.json"))["model_type"]);
  expect(types.sort()).toEqual(["llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_moe", "qwen3_5_text"]);
  const lengths = inProject.flatMap((folder) =>
    caseNames(folder).map((name) => loadGolden(folder, name).inputs.input_ids.length),
  );
  expect(Math.max(...lengths)).toBeGreaterThan(2 * 64);
});

test.each(cases)("$title agrees with itself", ({ folder, name }) => {
  const { inputs, tensors } = loadGolden(folder, name);
  const ids = inputs.input_ids;
  expect(tensors.get("input_ids")!.data).toEqual(ids);
  expect(tensors.get("greedy.ids")!.data).toEqual(inputs.greedy_ids);
  const [T, V] = tensors.get("logits")!.shape as [number, number];
  expect(T).toBe(ids.length);
  const last = (tensors.get("logits")!.data as Float32Array).subarray((T - 1) * V);
  expect(last.indexOf(Math.max(...last))).toBe(inputs.greedy_ids[0]);
  const { tolerance } = jsonOf(join(folder, "meta.json")) as { tolerance: Record<string, number> };
  expect(tolerance["f32_engine_logits_max_abs"]).toBeGreaterThan(0);
});

test("the demo model's goldens have its vocabulary", () => {
  const { text_config: text } = jsonOf(join(demoModel, "config.json")) as { text_config: { vocab_size: number } };
  const logits = loadTensors(join(demoModel, "..", "golden", "logits.safetensors"));
  for (const { shape } of logits.values()) expect(shape).toEqual([text.vocab_size]);
  const chats = JSON.parse(readFileSync(join(demoModel, "..", "golden", "cases.json"), "utf8")) as object;
  expect(JSON.stringify(chats)).toContain("prompt_ids");
});

// The sharded model has the goldens of the unsharded one.
const original = (folder: string) => basename(folder).replace("qwen2-tiny-sharded", "qwen2-tiny");
const pairs = cases.flatMap(({ folder, name }) => {
  if (dirname(folder) !== own) return [];
  const full = folders.find((other) => dirname(other) !== own && basename(other) === original(folder));
  return full ? [{ folder, name, full }] : [];
});

test.skipIf(pairs.length === 0)("what is here is the full reference's own, where that is present", () => {
  for (const { folder, name, full } of pairs) {
    const kept = loadGolden(folder, name);
    const all = loadGolden(full, name);
    expect(kept.inputs).toEqual(all.inputs);
    for (const [key, tensor] of kept.tensors) expect(tensor, `${folder} ${key}`).toEqual(all.tensors.get(key));
    const [ours, theirs] = [folder, full].map((at) => join(at, "model.safetensors"));
    if (existsSync(ours!)) expect(readFileSync(ours!).equals(readFileSync(theirs!)), ours).toBe(true);
  }
});

function jsonOf(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(folder, name)))
    .filter((stat) => stat.isFile())
    .reduce((sum, { size }) => sum + size, 0);
}
