// The tensors of our families by both of their names, the checkpoint's (Hugging Face's) and GGUF's, and what the
// conversion to GGUF does to some of them besides renaming.
import { EngineError } from "../../errors.ts";

/** GGUF's architectures → the model_type of config.json. */
export const architectureTypes = {
  llama: "llama",
  qwen2: "qwen2",
  qwen3: "qwen3",
  qwen3moe: "qwen3_moe",
  qwen35: "qwen3_5_text",
  qwen35moe: "qwen3_5_moe_text",
} as const;

export type GgufArchitecture = keyof typeof architectureTypes;

/**
 * pairs: the rows of each head, first half (i) and second half (i + D/2), take turns, for another kind of rope.
 * plus one: the norm is stored as what it multiplies by.
 * negative exp: −exp(A_log).
 * squeezed: [C, 1, taps] without the axis of one.
 * a row: [1, K] as [K].
 */
export type Change = "pairs" | "plus one" | "negative exp" | "squeezed" | "a row";

/**
 * Along which axis value heads lie that GGUF has in another order: not those of one key head next to one another, but
 * the first of every key head, then the second of every key head. `tail` are the rows behind those of q and k.
 */
export type Tiled = "rows" | "tail" | "columns";

export interface NameRule {
  readonly hf: string;
  readonly gguf: string;
  readonly change?: Change;
  readonly tiled?: Tiled;
}

const outer: readonly NameRule[] = [
  { hf: "model.embed_tokens.weight", gguf: "token_embd.weight" },
  { hf: "model.norm.weight", gguf: "output_norm.weight" },
  { hf: "lm_head.weight", gguf: "output.weight" },
];

const attention: readonly NameRule[] = [
  { hf: "input_layernorm.weight", gguf: "attn_norm.weight" },
  ...["q", "k", "v"].flatMap((part) => [
    { hf: `self_attn.${part}_proj.weight`, gguf: `attn_${part}.weight` },
    { hf: `self_attn.${part}_proj.bias`, gguf: `attn_${part}.bias` },
  ]),
  { hf: "self_attn.o_proj.weight", gguf: "attn_output.weight" },
  { hf: "self_attn.o_proj.bias", gguf: "attn_output.bias" },
  { hf: "self_attn.q_norm.weight", gguf: "attn_q_norm.weight" },
  { hf: "self_attn.k_norm.weight", gguf: "attn_k_norm.weight" },
];

const mlp: readonly NameRule[] = [
  { hf: "post_attention_layernorm.weight", gguf: "ffn_norm.weight" },
  { hf: "mlp.gate_proj.weight", gguf: "ffn_gate.weight" },
  { hf: "mlp.up_proj.weight", gguf: "ffn_up.weight" },
  { hf: "mlp.down_proj.weight", gguf: "ffn_down.weight" },
];

/** Experts of all layers are tensors [E, rows, K]; a layer without experts has the names of `mlp`. */
const experts: readonly NameRule[] = [
  ...mlp,
  { hf: "mlp.gate.weight", gguf: "ffn_gate_inp.weight" },
  { hf: "mlp.experts.gate_proj.weight", gguf: "ffn_gate_exps.weight" },
  { hf: "mlp.experts.up_proj.weight", gguf: "ffn_up_exps.weight" },
  { hf: "mlp.experts.gate_up_proj", gguf: "ffn_gate_up_exps.weight" },
  { hf: "mlp.experts.down_proj.weight", gguf: "ffn_down_exps.weight" },
  { hf: "mlp.shared_expert.gate_proj.weight", gguf: "ffn_gate_shexp.weight" },
  { hf: "mlp.shared_expert.up_proj.weight", gguf: "ffn_up_shexp.weight" },
  { hf: "mlp.shared_expert.down_proj.weight", gguf: "ffn_down_shexp.weight" },
  { hf: "mlp.shared_expert_gate.weight", gguf: "ffn_gate_inp_shexp.weight", change: "a row" },
];

const deltaNet: readonly NameRule[] = [
  { hf: "linear_attn.in_proj_qkv.weight", gguf: "attn_qkv.weight", tiled: "tail" },
  { hf: "linear_attn.in_proj_z.weight", gguf: "attn_gate.weight", tiled: "rows" },
  { hf: "linear_attn.in_proj_b.weight", gguf: "ssm_beta.weight", tiled: "rows" },
  { hf: "linear_attn.in_proj_a.weight", gguf: "ssm_alpha.weight", tiled: "rows" },
  { hf: "linear_attn.conv1d.weight", gguf: "ssm_conv1d.weight", change: "squeezed", tiled: "tail" },
  { hf: "linear_attn.A_log", gguf: "ssm_a", change: "negative exp", tiled: "rows" },
  { hf: "linear_attn.dt_bias", gguf: "ssm_dt.bias", tiled: "rows" },
  { hf: "linear_attn.norm.weight", gguf: "ssm_norm.weight" },
  { hf: "linear_attn.out_proj.weight", gguf: "ssm_out.weight", tiled: "columns" },
];

/** Of a layer; what precedes the names is `model.layers.N.` and `blk.N.`. */
const layerRules: Readonly<Record<GgufArchitecture, readonly NameRule[]>> = {
  llama: [...attention.map(pairsOfHeads), ...mlp],
  qwen2: [...attention, ...mlp],
  qwen3: [...attention, ...mlp],
  qwen3moe: [...attention, ...experts],
  qwen35: [...attention, ...mlp.map(afterAttention), ...deltaNet].map(plusOne),
  qwen35moe: [...attention, ...experts.map(afterAttention), ...deltaNet].map(plusOne),
};

function pairsOfHeads(rule: NameRule): NameRule {
  return /[qk]_proj/.test(rule.hf) ? { ...rule, change: "pairs" } : rule;
}

function afterAttention(rule: NameRule): NameRule {
  return rule.gguf === "ffn_norm.weight" ? { ...rule, gguf: "post_attention_norm.weight" } : rule;
}

/** The family's norms are stored minus one in checkpoints, but for the delta net's own. */
function plusOne(rule: NameRule): NameRule {
  const own = rule.hf.startsWith("linear_attn.");
  return rule.hf.endsWith("norm.weight") && !own ? { ...rule, change: "plus one" } : rule;
}

/** The rules with whole names, of a model of so many layers. */
export function nameRules(architecture: GgufArchitecture, layers: number): NameRule[] {
  const top = isHybrid(architecture) ? outer.map(plusOne) : outer;
  const ofLayer = (i: number) =>
    layerRules[architecture].map((rule) => {
      return { ...rule, hf: `model.layers.${i}.${rule.hf}`, gguf: `blk.${i}.${rule.gguf}` };
    });
  return [...top, ...Array.from({ length: layers }, (_, i) => ofLayer(i)).flat()];
}

/** Delta nets beside attention, norms plus one; these models may have a vision tower, too, in a file of its own. */
export function isHybrid(architecture: GgufArchitecture): boolean {
  return architecture === "qwen35" || architecture === "qwen35moe";
}

/** Errors: unsupported_model with the list. */
export function architectureOf(name: unknown, file: string): GgufArchitecture {
  if (typeof name === "string" && Object.hasOwn(architectureTypes, name)) return name as GgufArchitecture;
  const list = Object.keys(architectureTypes).join(", ");
  const what = name === undefined ? "is missing" : `is ${JSON.stringify(name)}`;
  throw new EngineError(
    "unsupported_model",
    `${file}: metadata general.architecture ${what}; supported: ${list}`,
  );
}
