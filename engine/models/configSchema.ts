// The keys of config.json that we read, checked for presence and type. Checkpoints hold many more: those pass.
import * as v from "valibot";
import { EngineError } from "../errors.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const positive = v.pipe(v.number(), v.gtValue(0));
const tokenId = v.pipe(v.number(), v.integer(), v.minValue(0));
const object = v.looseObject({});

/** Rope settings: `rope_parameters` of newer files, `rope_scaling` of older ones. */
const Rope = v.looseObject({
  rope_type: v.optional(v.string()),
  /** The older name of rope_type. */
  type: v.optional(v.string()),
  rope_theta: v.optional(positive),
  partial_rotary_factor: v.optional(positive),
  mrope_section: v.nullish(v.tuple([tokenId, tokenId, tokenId])),
  mrope_interleaved: v.optional(v.boolean()),
});

/** The settings of the language model: the whole of a flat config.json, or its text_config. */
export const TextConfig = v.looseObject({
  model_type: v.optional(v.string()),
  hidden_size: count,
  num_hidden_layers: v.pipe(count, v.maxValue(1000)), // each takes memory before a tensor is looked for
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  /** Of dense MLPs: a model may have none. */
  intermediate_size: v.nullish(count),
  vocab_size: count,
  max_position_embeddings: count,
  rms_norm_eps: positive,
  hidden_act: v.optional(v.string(), "silu"),
  tie_word_embeddings: v.optional(v.boolean()),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
  attn_output_gate: v.optional(v.boolean(), true),
  output_gate_type: v.nullish(v.string()),
  layer_types: v.nullish(v.array(v.string())),
  full_attention_interval: v.nullish(count),
  sliding_window: v.nullish(count),
  use_sliding_window: v.optional(v.boolean(), false),
  max_window_layers: v.nullish(v.pipe(v.number(), v.integer())),
  rope_theta: v.optional(positive),
  rope_scaling: v.nullish(Rope),
  rope_parameters: v.nullish(Rope),
  partial_rotary_factor: v.nullish(positive),
  bos_token_id: v.nullish(tokenId),
  eos_token_id: v.nullish(v.union([tokenId, v.array(tokenId)])),
  quantization_config: v.nullish(object),
});

/** What a nested config.json has beside its text_config. */
export const OuterConfig = v.looseObject({
  model_type: v.string(),
  text_config: v.optional(object),
  vision_config: v.nullish(object),
  image_token_id: v.nullish(tokenId),
  tie_word_embeddings: v.optional(v.boolean()),
  bos_token_id: v.nullish(tokenId),
  eos_token_id: v.nullish(v.union([tokenId, v.array(tokenId)])),
  quantization_config: v.nullish(object),
});

/** The gated delta net of the hybrid models. */
export const DeltaConfig = v.looseObject({
  linear_num_key_heads: count,
  linear_num_value_heads: count,
  linear_key_head_dim: count,
  linear_value_head_dim: count,
  linear_conv_kernel_dim: count,
  /** No key of config.json: GGUF files have value heads in another order (formats/gguf/names.ts). */
  linear_value_heads: v.optional(v.picklist(["grouped", "tiled"]), "grouped"),
});

/** The mixture of experts in place of MLPs. */
export const ExpertsConfig = v.looseObject({
  num_experts: count,
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  shared_expert_intermediate_size: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  norm_topk_prob: v.optional(v.boolean(), false),
  decoder_sparse_step: v.optional(count, 1),
  mlp_only_layers: v.nullish(v.array(v.number())),
});

/** Llama 3.1's rope scaling. */
export const Llama3Scaling = v.looseObject({
  factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: count,
});

/** What each frequency is divided by, one by one: how GGUF has Llama 3's scaling. */
export const FactorScaling = v.looseObject({ factors: v.array(positive) });

export const LinearScaling = v.looseObject({ factor: positive });

export type TextConfig = v.InferOutput<typeof TextConfig>;
export type OuterConfig = v.InferOutput<typeof OuterConfig>;
export type RopeConfig = v.InferOutput<typeof Rope>;

/** Where a part of the settings stands: the file, and the path of the part in it ("" or "text_config."). */
export interface Place {
  file: string;
  path: string;
}

/** Errors: bad_checkpoint, naming the file and the path of the first wrong key. */
export function check<S extends v.GenericSchema>(schema: S, value: unknown, place: Place): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = v.getDotPath(issue) ?? "";
  const what =
    issue.received === "undefined" ? "is missing" : `is ${shown(issue)}: expected ${issue.expected}`;
  throw damaged(place, key, what);
}

export function damaged({ file, path }: Place, key: string, what: string): EngineError {
  return new EngineError("bad_checkpoint", `${file}: ${path}${key} ${what}`);
}

export function unsupported({ file, path }: Place, key: string, what: string): EngineError {
  return new EngineError("unsupported_model", `${file}: ${path}${key} ${what}`);
}

function shown(issue: { input: unknown }): string {
  const text = JSON.stringify(issue.input) ?? "undefined";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
