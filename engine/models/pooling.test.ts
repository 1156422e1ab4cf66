import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { packageRoot } from "../root.ts";
import { configOf } from "./pooling.ts";

const references = join(packageRoot, "test-fixtures", "reference");
const made: string[] = [];
const open: Checkpoint[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((checkpoint) => checkpoint.close()));
  await Promise.all(made.splice(0).map((folder) => rm(folder, { recursive: true })));
});

/** Settings of a copy of a reference model beside which these files lie. */
async function config(model: string, files: Record<string, unknown>) {
  const folder = await mkdtemp(join(tmpdir(), "pooling-"));
  made.push(folder);
  await cp(join(references, model), folder, { recursive: true });
  await mkdir(join(folder, "1_Pooling"));
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  const checkpoint = await openCheckpoint(folder);
  open.push(checkpoint);
  return configOf(checkpoint);
}

const module = { path: "1_Pooling", type: "sentence_transformers.models.Pooling" };
const mode = (name: string) => ({
  "1_Pooling/config.json": { [`pooling_mode_${name}`]: true, pooling_mode_x: false },
});

test("a model without modules makes text", async () => {
  expect(await config("qwen3-tiny-tied", {})).not.toHaveProperty("pooling");
  const other = { "modules.json": [{ path: "", type: "sentence_transformers.models.Transformer" }] };
  expect(await config("qwen3-tiny-tied", other)).not.toHaveProperty("pooling");
});

test("last-token pooling of qwen3", async () => {
  const files = { "modules.json": [module], ...mode("lasttoken") };
  expect(await config("qwen3-tiny-tied", files)).toMatchObject({ pooling: "last", prefix: "model." });
});

test("GGUF's number for it", async () => {
  const checkpoint = await openCheckpoint(join(references, "qwen3-tiny-tied"));
  open.push(checkpoint);
  const gguf = (type: number) => {
    const has = (name: string) => checkpoint.has(name);
    const { folder, configFile } = checkpoint;
    const config = { ...checkpoint.config, pooling_type: type };
    return configOf({ format: "gguf", folder, configFile, config, has } as unknown as Checkpoint);
  };
  expect(await gguf(3)).toMatchObject({ pooling: "last" });
  expect(await gguf(0)).not.toHaveProperty("pooling");
  await expect(gguf(1)).rejects.toMatchObject({ code: "unsupported_model" });
});

test.each([
  [
    "qwen3-tiny-tied",
    { "modules.json": [module], ...mode("mean_tokens") },
    "unsupported_model",
    "mean_tokens pooling",
  ],
  [
    "llama3-tiny-ropescaled",
    { "modules.json": [module], ...mode("lasttoken") },
    "unsupported_model",
    "llama with last",
  ],
  ["qwen3-tiny-tied", { "modules.json": [module] }, "bad_checkpoint", "does not exist"],
  ["qwen3-tiny-tied", { "modules.json": "no" }, "bad_checkpoint", "modules.json is not JSON"],
  ["qwen3-tiny-tied", { "modules.json": { a: 1 } }, "bad_checkpoint", "holds no list of modules"],
])("%s with %j", async (model, files, code, message) => {
  const refused = config(model, files);
  await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
});
