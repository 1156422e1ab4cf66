// A vision tower in a GGUF file beside its model. What is expected are the names, shapes and keys that llama.cpp's
// conversion of Qwen3-VL and Qwen3.5 writes; the tensors have to be those of the checkpoint again.
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoModel } from "../../../test-fixtures/golden.ts";
import { parseImageSettings } from "../../image/settings.ts";
import { parseConfig } from "../../models/config.ts";
import { visionConfig } from "../../models/visionConfig.ts";
import { openCheckpoint, type Checkpoint } from "../checkpoint.ts";
import { exportGguf } from "./export.ts";
import { exportTower } from "./exportTower.fixture.ts";
import { openGguf } from "./file.ts";
import type { TypedValue } from "./write.ts";

const root = mkdtempSync(join(tmpdir(), "gguf-tower-"));
afterAll(() => rmSync(root, { recursive: true }));

const json = (name: string) =>
  JSON.parse(readFileSync(join(demoModel, name), "utf8")) as Record<string, unknown>;
const preprocessor = json("preprocessor_config.json");

let original: Checkpoint;
let count = 0;
beforeAll(async () => {
  original = await openCheckpoint(demoModel);
});
afterAll(() => original.close());

/** A folder with the demo model in F32, and a tower beside it. */
async function folderWith(tower?: Record<string, TypedValue>, name = "mmproj-F32.gguf"): Promise<string> {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  const text = { tokenizer: json("tokenizer.json"), tokenizerConfig: json("tokenizer_config.json") };
  await exportGguf(original, join(folder, "demo-F32.gguf"), { ...text, dtype: "F32" });
  if (tower) await exportTower(original, join(folder, name), preprocessor, tower);
  return folder;
}

const visual = () => original.names.filter((name) => name.startsWith("model.visual."));

async function expectTower(checkpoint: Checkpoint): Promise<void> {
  expect(visual().length).toBeGreaterThan(30);
  for (const name of visual()) {
    expect(checkpoint.entry(name).shape, name).toEqual(original.entry(name).shape);
    expect(await checkpoint.readF32(name), name).toEqual(await original.readF32(name));
  }
}

test("tensors, settings and preparation are the checkpoint's", async () => {
  const ours = await openCheckpoint(await folderWith({}));
  await expectTower(ours);
  expect(ours.totalBytes).toBeGreaterThan(ours.names.length);
  const [config, wanted] = [ours, original].map((one) => parseConfig(one.config, one.configFile));
  expect(visionConfig(config!, "")).toEqual(visionConfig(wanted!, ""));
  expect(parseImageSettings(ours.preprocessor, "")).toEqual(parseImageSettings(preprocessor, ""));
  await ours.close();
});

test("the tower of a form's folder lies above it", async () => {
  const folder = await folderWith({});
  mkdirSync(join(folder, "F32"));
  renameSync(join(folder, "demo-F32.gguf"), join(folder, "F32", "demo-F32.gguf"));
  const ours = await openCheckpoint(join(folder, "F32", "demo-F32.gguf"));
  await expectTower(ours);
  await ours.close();
});

test("a folder's own name does not make the folder above a model's", async () => {
  const folder = await folderWith({});
  mkdirSync(join(folder, "mine"));
  renameSync(join(folder, "demo-F32.gguf"), join(folder, "mine", "demo-F32.gguf"));
  const ours = await openCheckpoint(join(folder, "mine", "demo-F32.gguf"));
  expect(ours.preprocessor).toBeUndefined();
  expect(ours.names.filter((name) => name.includes("visual"))).toEqual([]);
  await ours.close();
});

test("a tower of another width belongs to another model", async () => {
  const folder = await folderWith({ "clip.vision.projection_dim": ["u32", 1024] }, "mmproj-F16.gguf");
  const alone = await openCheckpoint(folder);
  expect(alone.config["vision_config"]).toBeUndefined();
  await alone.close();
  await exportTower(original, join(folder, "mmproj-Q8_0.gguf"), preprocessor);
  const ours = await openCheckpoint(folder);
  await expectTower(ours);
  await ours.close();
});

test.each<[string, Record<string, TypedValue>, string, string]>([
  [
    "another projector",
    { "clip.projector_type": ["string", "gemma3"] },
    "unsupported_model",
    'metadata clip.projector_type is "gemma3"; supported: qwen3vl_merger',
  ],
  [
    "another epsilon",
    { "clip.vision.attention.layer_norm_epsilon": ["f32", 1e-5] },
    "unsupported_model",
    "metadata clip.vision.attention.layer_norm_epsilon is 0.00001; supported: 0.000001",
  ],
  [
    "more blocks than there are tensors for",
    { "clip.vision.block_count": ["u32", 2 ** 32 - 1] },
    "bad_checkpoint",
    "metadata clip.vision.block_count is 4294967295: 3, as the tensors have it, is expected",
  ],
  [
    "no tower at all",
    { "general.architecture": ["string", "qwen3"] },
    "bad_checkpoint",
    'metadata general.architecture is "qwen3": "clip" is expected',
  ],
])("%s is refused", async (_, tower, code, message) => {
  const folder = await folderWith(tower);
  const error: unknown = await openCheckpoint(folder).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code });
  expect((error as Error).message).toBe(`${join(folder, "mmproj-F32.gguf")}: ${message}`);
});

test("outputs of inner layers, which Qwen3-VL has, are refused by their numbers", async () => {
  const flags: TypedValue = ["bool[]", [false, true, true]];
  const ours = await openCheckpoint(await folderWith({ "clip.vision.is_deepstack_layers": flags }));
  const config = parseConfig(ours.config, "demo");
  expect(() => visionConfig(config, "demo")).toThrow("deepstack_visual_indexes is [1, 2]; supported: []");
  await ours.close();
});

test("a damaged tower is told by its file", async () => {
  const folder = await folderWith({});
  const path = join(folder, "mmproj-F32.gguf");
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.subarray(0, bytes.length - 4));
  await expect(openCheckpoint(folder)).rejects.toThrow(`${path}: tensor`);
  writeFileSync(
    path,
    Buffer.from(bytes.toString("latin1").replace("v.patch_embd.weight.1", "v.patch_embd.weight.2"), "latin1"),
  );
  await expect(openCheckpoint(folder)).rejects.toThrow("tensor v.patch_embd.weight.1 is missing");
});

test("what is written are llama.cpp's names and shapes", async () => {
  const file = await openGguf(join(await folderWith({}), "mmproj-F32.gguf"));
  const shapes = Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, shape]));
  const { hidden_size: Hv, intermediate_size: I } = original.config["vision_config"] as Record<
    string,
    number
  >;
  expect(shapes).toMatchObject({
    "v.patch_embd.weight": [Hv, 3, 16, 16],
    "v.patch_embd.weight.1": [Hv, 3, 16, 16],
    "v.patch_embd.bias": [Hv],
    "v.blk.2.ln1.weight": [Hv],
    "v.blk.2.attn_qkv.weight": [3 * Hv!, Hv],
    "v.blk.2.attn_out.bias": [Hv],
    "v.blk.2.ffn_up.weight": [I, Hv],
    "v.blk.2.ffn_down.weight": [Hv, I],
    "v.post_ln.bias": [Hv],
    "mm.0.weight": [4 * Hv!, 4 * Hv!],
    "mm.2.weight": [192, 4 * Hv!],
  });
  await file.close();
});
