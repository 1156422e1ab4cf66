// The vision tower of a checkpoint → a GGUF file of its own, as llama.cpp's conversion writes it: for tests.
import type { Checkpoint } from "../checkpoint.ts";
import { towerRules } from "./tower.ts";
import { writeGguf, type GgufTensorSource, type TypedValue } from "./write.ts";

type Json = Readonly<Record<string, unknown>>;

/** Everything is f32. `preprocessor` is what preprocessor_config.json says; `more` adds to the metadata, or changes it. */
export async function exportTower(
  checkpoint: Checkpoint,
  path: string,
  preprocessor: Json,
  more: Readonly<Record<string, TypedValue>> = {},
): Promise<void> {
  const config = checkpoint.config["vision_config"] as Json;
  const tensors: GgufTensorSource[] = await patchFrames(checkpoint);
  for (const { hf, gguf } of towerRules(config["depth"] as number)) {
    if (!checkpoint.has(hf)) continue;
    const data = await checkpoint.readF32(hf);
    tensors.push({ name: gguf, dtype: "F32", shape: checkpoint.entry(hf).shape, data });
  }
  await writeGguf(path, { ...metadataOf(config, preprocessor), ...more }, tensors);
}

/** [hidden, 3, frames, patch, patch] → [hidden, 3, patch, patch] of each frame. */
async function patchFrames(checkpoint: Checkpoint): Promise<GgufTensorSource[]> {
  const name = "model.visual.patch_embed.proj.weight";
  const [hidden, channels, frames, ...patch] = checkpoint.entry(name).shape as [number, number, number];
  const values = await checkpoint.readF32(name);
  const area = values.length / (hidden * channels * frames);
  return Array.from({ length: frames }, (_, frame) => {
    const data = values.filter((_, i) => Math.floor(i / area) % frames === frame);
    const suffix = frame === 0 ? "" : `.${frame}`;
    return { name: `v.patch_embd.weight${suffix}`, dtype: "F32", shape: [hidden, channels, ...patch], data };
  });
}

function metadataOf(config: Json, preprocessor: Json): Record<string, TypedValue> {
  const count = (value: unknown): TypedValue => ["u32", value as number];
  const side = Math.sqrt(config["num_position_embeddings"] as number);
  const size = preprocessor["size"] as Json;
  return {
    "general.type": ["string", "mmproj"],
    "general.architecture": ["string", "clip"],
    "clip.has_vision_encoder": ["bool", true],
    "clip.projector_type": ["string", "qwen3vl_merger"],
    "clip.use_gelu": ["bool", true],
    "clip.vision.image_size": count(side * (config["patch_size"] as number)),
    "clip.vision.patch_size": count(config["patch_size"]),
    "clip.vision.embedding_length": count(config["hidden_size"]),
    "clip.vision.feed_forward_length": count(config["intermediate_size"]),
    "clip.vision.projection_dim": count(config["out_hidden_size"]),
    "clip.vision.block_count": count(config["depth"]),
    "clip.vision.attention.head_count": count(config["num_heads"]),
    "clip.vision.attention.layer_norm_epsilon": ["f32", 1e-6],
    "clip.vision.spatial_merge_size": count(config["spatial_merge_size"]),
    "clip.vision.image_min_pixels": count(size["shortest_edge"]),
    "clip.vision.image_max_pixels": count(size["longest_edge"]),
    "clip.vision.image_mean": ["f32[]", preprocessor["image_mean"] as number[]],
    "clip.vision.image_std": ["f32[]", preprocessor["image_std"] as number[]],
    "clip.vision.is_deepstack_layers": [
      "bool[]",
      Array.from({ length: config["depth"] as number }, () => false),
    ],
  };
}
