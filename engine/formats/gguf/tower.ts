// The vision tower of a GGUF model: a file of its own beside it ("mmproj"), whose names and settings become those of a
// checkpoint's model.visual. Known is the tower of Qwen3-VL and Qwen3.5, which llama.cpp calls qwen3vl_merger.
import { basename, dirname, join, resolve } from "node:path";
import { EngineError } from "../../errors.ts";
import { bad } from "../header.ts";
import { labelOf, namesIn, towerFiles } from "../locate.ts";
import type { GgufTensor } from "./checkpoint.ts";
import { checkBlocks, defined, Keys } from "./config.ts";
import { openGguf, type GgufFile } from "./file.ts";
import type { NameRule } from "./names.ts";

type Json = Readonly<Record<string, unknown>>;

export interface GgufTower {
  readonly file: GgufFile;
  /** vision_config of config.json, and preprocessor_config.json. */
  readonly config: Json;
  readonly preprocessor: Json;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const projector = "qwen3vl_merger";
/** Two frames of a patch, each a tensor. */
const patches = ["v.patch_embd.weight", "v.patch_embd.weight.1"] as const;

/**
 * The tower that goes with a model of this width: of the files beside it, or in the folder above, the first whose
 * embeddings are as wide; undefined where there is none. Errors: unsupported_model, bad_checkpoint.
 */
export async function openTower(model: string, width: number): Promise<GgufTower | undefined> {
  for (const path of await candidates(model)) {
    const file = await openGguf(path);
    try {
      const tower = towerOf(file, width);
      if (tower) return tower;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
  return undefined;
}

/** Files of the model's folder; where that is named by a form of it (Q8_0/), also those of the folder above. */
async function candidates(model: string): Promise<string[]> {
  const own = dirname(resolve(model));
  const isForm = labelOf(`model-${basename(own)}.gguf`) !== undefined;
  const folders = isForm ? [own, dirname(own)] : [own];
  const found = folders.map(async (folder) => {
    const names = (await namesIn(folder)).filter((name) => dirname(name) === ".");
    return towerFiles(names, basename(model)).map((name) => join(folder, name));
  });
  return (await Promise.all(found)).flat();
}

function towerOf(file: GgufFile, width: number): GgufTower | undefined {
  const { path, metadata } = file;
  const architecture = metadata.get("general.architecture");
  if (architecture !== "clip")
    throw bad(path, `metadata general.architecture is ${JSON.stringify(architecture)}: "clip" is expected`);
  const of = new Keys(path, "clip.vision", metadata);
  if (of.number("projection_dim") !== width) return undefined;
  const type = metadata.get("clip.projector_type") ?? metadata.get("clip.vision.projector_type");
  if (type !== projector) {
    const message = `${path}: metadata clip.projector_type is ${JSON.stringify(type)}; supported: ${projector}`;
    throw new EngineError("unsupported_model", message);
  }
  const epsilon = of.decimal("attention.layer_norm_epsilon");
  if (epsilon !== 1e-6)
    throw of.unsupported("attention.layer_norm_epsilon", `is ${epsilon}; supported: 0.000001`);
  checkBlocks(of, file.tensors.keys(), "v.blk.");
  return { file, config: configOf(of, file), preprocessor: preprocessorOf(of), tensors: tensorsOf(of, file) };
}

function configOf(of: Keys, { tensors }: GgufFile): Json {
  return defined({
    depth: of.number("block_count"),
    hidden_size: of.number("embedding_length"),
    intermediate_size: of.number("feed_forward_length"),
    num_heads: of.number("attention.head_count"),
    num_position_embeddings: tensors.get("v.position_embd.weight")?.shape[0],
    out_hidden_size: of.number("projection_dim"),
    patch_size: of.number("patch_size"),
    temporal_patch_size: patches.length,
    spatial_merge_size: of.number("spatial_merge_size"),
    deepstack_visual_indexes: of.flags("is_deepstack_layers")?.flatMap((is, i) => (is ? [i] : [])),
  });
}

function preprocessorOf(of: Keys): Json {
  return defined({
    patch_size: of.number("patch_size"),
    temporal_patch_size: patches.length,
    merge_size: of.number("spatial_merge_size"),
    min_pixels: of.number("image_min_pixels"),
    max_pixels: of.number("image_max_pixels"),
    image_mean: of.decimals("image_mean"),
    image_std: of.decimals("image_std"),
  });
}

function tensorsOf(of: Keys, file: GgufFile): Map<string, GgufTensor> {
  const found = new Map<string, GgufTensor>();
  for (const { hf, gguf } of towerRules(of.number("block_count") ?? 0)) {
    const entry = file.tensors.get(gguf);
    if (entry) found.set(hf, { entry: { ...entry, name: hf }, file });
  }
  const frames = patchFrames(file);
  found.set(frames.entry.name, frames);
  return found;
}

/** [hidden, 3, patch, patch] of each frame → [hidden, 3, frames, patch, patch]. */
function patchFrames(file: GgufFile): GgufTensor {
  const frames = patches.map((name) => {
    const entry = file.tensors.get(name);
    if (!entry) throw bad(file.path, `tensor ${name} is missing`);
    return entry;
  });
  const first = frames[0]!;
  for (const { name, dtype, shape } of frames) {
    if (dtype === first.dtype && shape.length === 4 && String(shape) === String(first.shape)) continue;
    throw bad(
      file.path,
      `tensor ${name} is ${dtype} [${shape.join(", ")}], and ${first.name} is ${first.dtype} [${first.shape.join(", ")}]`,
    );
  }
  const [hidden = 0, channels = 0, ...patch] = first.shape;
  const entry = {
    ...first,
    name: "model.visual.patch_embed.proj.weight",
    shape: [hidden, channels, frames.length, ...patch],
    bytes: first.bytes * frames.length,
  };
  return { entry, file, pieces: { of: frames, bytes: first.bytes / (hidden * channels) } };
}

/** Both names of a tower's tensors, but for the patches'. */
export function towerRules(blocks: number): NameRule[] {
  const both = (hf: string, gguf: string) =>
    ["weight", "bias"].map((part) => ({ hf: `model.visual.${hf}.${part}`, gguf: `${gguf}.${part}` }));
  const ofBlock = (i: number) => [
    ...both(`blocks.${i}.norm1`, `v.blk.${i}.ln1`),
    ...both(`blocks.${i}.attn.qkv`, `v.blk.${i}.attn_qkv`),
    ...both(`blocks.${i}.attn.proj`, `v.blk.${i}.attn_out`),
    ...both(`blocks.${i}.norm2`, `v.blk.${i}.ln2`),
    ...both(`blocks.${i}.mlp.linear_fc1`, `v.blk.${i}.ffn_up`),
    ...both(`blocks.${i}.mlp.linear_fc2`, `v.blk.${i}.ffn_down`),
  ];
  return [
    { hf: "model.visual.patch_embed.proj.bias", gguf: "v.patch_embd.bias" },
    { hf: "model.visual.pos_embed.weight", gguf: "v.position_embd.weight" },
    ...Array.from({ length: blocks }, (_, i) => ofBlock(i)).flat(),
    ...both("merger.norm", "v.post_ln"),
    ...both("merger.linear_fc1", "mm.0"),
    ...both("merger.linear_fc2", "mm.2"),
  ];
}
