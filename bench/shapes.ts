// The released shapes, as their own config.json says them; and every tensor that such a checkpoint has. Speed does not
// depend on the values, so random ones do.
import type { TensorSpec } from "../engine/formats/write.ts";
import { parseConfig, type ModelConfig } from "../engine/models/config.ts";

type Json = Record<string, unknown>;

const qwen3 = (hidden: number, layers: number, intermediate: number, heads: number, tied: boolean): Json => ({
  model_type: "qwen3",
  hidden_size: hidden,
  num_hidden_layers: layers,
  intermediate_size: intermediate,
  num_attention_heads: heads,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 151_936,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 40_960,
  tie_word_embeddings: tied,
  hidden_act: "silu",
});

interface Hybrid {
  hidden: number;
  layers: number;
  intermediate: number;
  heads: number;
  kvHeads: number;
  valueHeads: number;
  tied: boolean;
}

const qwen3_5 = (shape: Hybrid): Json => ({
  model_type: "qwen3_5_text",
  hidden_size: shape.hidden,
  num_hidden_layers: shape.layers,
  intermediate_size: shape.intermediate,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.kvHeads,
  head_dim: 256,
  attn_output_gate: true,
  full_attention_interval: 4,
  linear_num_key_heads: 16,
  linear_num_value_heads: shape.valueHeads,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  linear_conv_kernel_dim: 4,
  vocab_size: 248_320,
  rms_norm_eps: 1e-6,
  rope_parameters: { rope_type: "default", rope_theta: 10_000_000, partial_rotary_factor: 0.25 },
  max_position_embeddings: 262_144,
  tie_word_embeddings: shape.tied,
  hidden_act: "silu",
});

export const shapes: Readonly<Record<string, Json>> = {
  "qwen3-0.6b": qwen3(1024, 28, 3072, 16, true),
  "qwen3-1.7b": qwen3(2048, 28, 6144, 16, true),
  "qwen3-8b": qwen3(4096, 36, 12_288, 32, false),
  "qwen3.5-0.8b": qwen3_5({
    hidden: 1024,
    layers: 24,
    intermediate: 3584,
    heads: 8,
    kvHeads: 2,
    valueHeads: 16,
    tied: true,
  }),
  "qwen3.5-4b": qwen3_5({
    hidden: 2560,
    layers: 32,
    intermediate: 9216,
    heads: 16,
    kvHeads: 4,
    valueHeads: 32,
    tied: true,
  }),
  "qwen3.5-9b": qwen3_5({
    hidden: 4096,
    layers: 32,
    intermediate: 12_288,
    heads: 16,
    kvHeads: 4,
    valueHeads: 32,
    tied: false,
  }),
  "qwen3.5-27b": qwen3_5({
    hidden: 5120,
    layers: 64,
    intermediate: 17_408,
    heads: 24,
    kvHeads: 4,
    valueHeads: 48,
    tied: false,
  }),
};

/** The shape's config.json. Errors: an unknown name, with the list. */
export function shapeConfig(name: string): Json {
  const config = shapes[name];
  if (!config) throw new Error(`no shape "${name}"; there are ${Object.keys(shapes).join(", ")}`);
  return config;
}

/** Every tensor of a checkpoint of this shape, with the dtypes of the released ones. */
export function tensorsOf(config: Json): TensorSpec[] {
  const c = parseConfig(config, "config.json");
  const layers = c.layerTypes.flatMap((type, i) => layerTensors(c, type, `${c.prefix}layers.${i}.`));
  return [
    bf16(`${c.prefix}embed_tokens.weight`, c.vocab, c.hidden),
    ...layers,
    bf16(`${c.prefix}norm.weight`, c.hidden),
    ...(c.tied ? [] : [bf16("lm_head.weight", c.vocab, c.hidden)]),
  ];
}

function layerTensors(c: ModelConfig, type: ModelConfig["layerTypes"][number], at: string): TensorSpec[] {
  return [
    bf16(`${at}input_layernorm.weight`, c.hidden),
    bf16(`${at}post_attention_layernorm.weight`, c.hidden),
    bf16(`${at}mlp.gate_proj.weight`, c.intermediate, c.hidden),
    bf16(`${at}mlp.up_proj.weight`, c.intermediate, c.hidden),
    bf16(`${at}mlp.down_proj.weight`, c.hidden, c.intermediate),
    ...(type === "full_attention"
      ? attentionTensors(c, `${at}self_attn.`)
      : deltaTensors(c, `${at}linear_attn.`)),
  ];
}

function attentionTensors(c: ModelConfig, at: string): TensorSpec[] {
  return [
    bf16(`${at}q_proj.weight`, c.heads * c.headDim * (c.attention.outputGate ? 2 : 1), c.hidden),
    bf16(`${at}k_proj.weight`, c.kvHeads * c.headDim, c.hidden),
    bf16(`${at}v_proj.weight`, c.kvHeads * c.headDim, c.hidden),
    bf16(`${at}o_proj.weight`, c.hidden, c.heads * c.headDim),
    bf16(`${at}q_norm.weight`, c.headDim),
    bf16(`${at}k_norm.weight`, c.headDim),
  ];
}

function deltaTensors(c: ModelConfig, at: string): TensorSpec[] {
  const { keyHeads, valueHeads, keyDim, valueDim, conv } = c.delta!;
  const channels = 2 * keyHeads * keyDim + valueHeads * valueDim;
  return [
    bf16(`${at}in_proj_qkv.weight`, channels, c.hidden),
    bf16(`${at}in_proj_z.weight`, valueHeads * valueDim, c.hidden),
    bf16(`${at}in_proj_b.weight`, valueHeads, c.hidden),
    bf16(`${at}in_proj_a.weight`, valueHeads, c.hidden),
    bf16(`${at}conv1d.weight`, channels, 1, conv),
    { name: `${at}A_log`, dtype: "F32", shape: [valueHeads] },
    bf16(`${at}dt_bias`, valueHeads),
    { name: `${at}norm.weight`, dtype: "F32", shape: [valueDim] },
    bf16(`${at}out_proj.weight`, c.hidden, valueHeads * valueDim),
  ];
}

function bf16(name: string, ...shape: number[]): TensorSpec {
  return { name, dtype: "BF16", shape };
}
