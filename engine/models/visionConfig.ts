// vision_config of config.json → the facts that the tower builds from.
import * as v from "valibot";
import type { ModelConfig } from "./config.ts";
import { check, damaged, unsupported } from "./configSchema.ts";

export interface VisionConfig {
  depth: number;
  /** Width Hv of the tower. */
  hidden: number;
  intermediate: number;
  heads: number;
  headDim: number;
  /** Side of a square patch, and frames of it. */
  patch: number;
  frames: number;
  /** Values of a patch: 3 · frames · patch². */
  patchValues: number;
  /** Patches on each side of a token. */
  merge: number;
  /** Side of the learned position grid. */
  side: number;
  /** Width of the language model. */
  out: number;
  /** The token that stands for a piece of a picture. */
  imageToken: number;
}

const count = v.pipe(v.number(), v.integer(), v.minValue(1));

const Vision = v.looseObject({
  depth: count,
  hidden_size: count,
  intermediate_size: count,
  num_heads: count,
  num_position_embeddings: count,
  out_hidden_size: count,
  in_channels: v.optional(v.literal(3), 3),
  patch_size: v.optional(count, 16),
  temporal_patch_size: v.optional(count, 2),
  spatial_merge_size: v.optional(count, 2),
  hidden_act: v.optional(v.string(), "gelu_pytorch_tanh"),
  deepstack_visual_indexes: v.optional(v.array(v.number()), []),
});

/** The tower's settings; undefined for a text model. Errors: bad_checkpoint, unsupported_model with the value. */
export function visionConfig(config: ModelConfig, file: string): VisionConfig | undefined {
  if (!config.vision) return undefined;
  const place = { file, path: "vision_config." };
  const vision = check(Vision, config.vision, place);
  const side = Math.sqrt(vision.num_position_embeddings);
  const headDim = vision.hidden_size / vision.num_heads;
  if (!Number.isInteger(side))
    throw damaged(place, "num_position_embeddings", `is ${side ** 2}, which is no square`);
  if (!Number.isInteger(headDim)) {
    throw damaged(place, "num_heads", `is ${vision.num_heads}, which does not divide ${vision.hidden_size}`);
  }
  if (vision.out_hidden_size !== config.hidden) {
    throw damaged(
      place,
      "out_hidden_size",
      `is ${vision.out_hidden_size}, the language model has ${config.hidden}`,
    );
  }
  if (vision.hidden_act !== "gelu_pytorch_tanh") {
    throw unsupported(place, "hidden_act", `is "${vision.hidden_act}"; supported: gelu_pytorch_tanh`);
  }
  if (vision.deepstack_visual_indexes.length > 0) {
    const indexes = vision.deepstack_visual_indexes.join(", ");
    throw unsupported(place, "deepstack_visual_indexes", `is [${indexes}]; supported: []`);
  }
  if (config.imageToken === undefined) throw damaged({ file, path: "" }, "image_token_id", "is missing");
  return {
    depth: vision.depth,
    hidden: vision.hidden_size,
    intermediate: vision.intermediate_size,
    heads: vision.num_heads,
    headDim,
    patch: vision.patch_size,
    frames: vision.temporal_patch_size,
    patchValues: 3 * vision.temporal_patch_size * vision.patch_size ** 2,
    merge: vision.spatial_merge_size,
    side,
    out: vision.out_hidden_size,
    imageToken: config.imageToken,
  };
}
