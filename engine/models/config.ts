// config.json of any supported family → one set of facts that the model files build from. What would change the
// arithmetic and is not implemented is refused here, by its value.
import { EngineError } from "../errors.ts";
import {
  check,
  damaged,
  DeltaConfig,
  ExpertsConfig as ExpertsSchema,
  OuterConfig,
  TextConfig,
  unsupported,
  type Place,
} from "./configSchema.ts";
import { ropeSettings, type RopeSettings } from "./ropeSettings.ts";

export type ModelType = "qwen3" | "qwen3_moe" | "qwen2" | "llama" | "qwen3_5" | "qwen3_5_moe";
export type LayerType = "full_attention" | "linear_attention";

export interface ModelConfig {
  /** The family, which names the file in engine/models. */
  modelType: ModelType;
  /** Width H of the residual stream. */
  hidden: number;
  /** That are here: of a stage, its own. */
  layers: number;
  layerTypes: readonly LayerType[];
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Width of the dense MLPs; 0 where there are none. */
  intermediate: number;
  /** The mixtures of experts, where there are any. */
  experts: ExpertsConfig | undefined;
  vocab: number;
  /** Of every RMS norm. */
  eps: number;
  /** The head is the embedding. */
  tied: boolean;
  maxPositions: number;
  attention: {
    bias: { qkv: boolean; o: boolean };
    qkNorm: boolean;
    /** q_proj holds, per head, the query and a gate. */
    outputGate: boolean;
  };
  /** 1: norm weights are stored minus one. */
  normOffset: 0 | 1;
  rope: RopeSettings;
  /** The linear-attention layers, where there are any. */
  delta: DeltaSettings | undefined;
  /** Which of the layers these are, where they are divided over devices; absent: all. */
  stage?: Stage;
  /** Which rows of the head each device has, where they are dealt; absent: all are here. */
  head?: HeadShare;
  /** What the names of the language model's tensors begin with. */
  prefix: "model." | "model.language_model." | "";
  /** What an embedding checkpoint makes of a text's rows: the last one. Absent for models that make text. */
  pooling?: "last";
  eosIds: readonly number[];
  bosId: number | undefined;
  /** The token that stands for a piece of a picture. */
  imageToken: number | undefined;
  /** vision_config as it stands. */
  vision: Readonly<Record<string, unknown>> | undefined;
}

/** A run of a model's layers. The first stage also has what is before and behind them all. */
export interface Stage {
  /** Of 0 … stages − 1. */
  readonly number: number;
  readonly stages: number;
  /** The first layer that is its own. */
  readonly firstLayer: number;
}

/** Rows of a head that several devices have. */
export interface HeadShare {
  /** This one of them. */
  readonly rank: number;
  /** Rows from … to − 1 of each, in order; none left over. */
  readonly spans: readonly { readonly from: number; readonly to: number }[];
  /** Of rows: every span begins at a multiple of it, a power of two from 32 on. */
  readonly step: number;
}

export interface ExpertsConfig {
  experts: number;
  /** Experts of a token. */
  used: number;
  /** Width of an expert. */
  intermediate: number;
  /** Width of the expert that all tokens share; undefined: there is none. */
  shared: number | undefined;
  /** Shares are of the chosen experts' sum. */
  normalised: boolean;
  /** Which layers have experts; the others have a dense MLP. */
  layers: readonly boolean[];
}

export interface DeltaSettings {
  keyHeads: number;
  valueHeads: number;
  /** Width of a key (and query) head. */
  keyDim: number;
  /** Width of a value head. */
  valueDim: number;
  /** Taps of the causal convolution. */
  conv: number;
  /** grouped: the value heads of a key head are neighbours. tiled: they are keyHeads apart. */
  order: "grouped" | "tiled";
}

/** The model types that a config.json may declare, for messages and pages. */
export const supportedModelTypes = [
  ...(["qwen3_5", "qwen3_5_moe", "qwen3", "qwen3_moe"] as const),
  ...(["qwen2", "llama", "mistral"] as const),
] as const;
/** Known by name, with parts that are not built yet. */
export const plannedModelTypes = ["qwen3_next"] as const;

interface Family {
  modelType: ModelType;
  /** Biases of q, k, v and of o; "as configured" follows attention_bias. */
  bias: { qkv: boolean; o: boolean } | "as configured";
  qkNorm: boolean;
  normOffset: 0 | 1;
  /** Where head_dim is absent; undefined: hidden / heads. */
  headDim: number | undefined;
  /** Where partial_rotary_factor is absent. */
  rotary: number;
  hybrid: boolean;
  /** Mixtures of experts: how their shares are made. */
  experts?: "normalised" | "as configured";
  /** When sliding_window counts. */
  window: "never" | "always" | "with use_sliding_window";
}

/** A workgroup counts them in its own memory. */
const mostExperts = 1024;

const plain = { qkNorm: false, normOffset: 0, headDim: undefined, rotary: 1, hybrid: false } as const;

const qwen3_5: Family = {
  ...{ modelType: "qwen3_5", bias: "as configured", qkNorm: true, normOffset: 1 },
  ...{ headDim: 256, rotary: 0.25, hybrid: true, window: "never" },
};
const qwen3: Family = {
  ...{ ...plain, modelType: "qwen3", bias: "as configured", qkNorm: true, headDim: 128 },
  window: "with use_sliding_window",
};

const families: Record<(typeof supportedModelTypes)[number], Family> = {
  qwen3_5,
  qwen3_5_moe: { ...qwen3_5, modelType: "qwen3_5_moe", experts: "normalised" },
  qwen3,
  qwen3_moe: { ...qwen3, modelType: "qwen3_moe", experts: "as configured" },
  qwen2: { ...plain, modelType: "qwen2", bias: { qkv: true, o: false }, window: "with use_sliding_window" },
  llama: { ...plain, modelType: "llama", bias: "as configured", window: "never" },
  mistral: { ...plain, modelType: "llama", bias: { qkv: false, o: false }, window: "always" },
};

/** Columns of what the head gives here: logits, all of them or this device's, or an embedding. */
export function headWidth(config: Pick<ModelConfig, "pooling" | "hidden" | "vocab" | "head">): number {
  const { from, to } = headRows(config);
  return config.pooling ? config.hidden : to - from;
}

/** The rows of the head that are here. */
export function headRows({ vocab, head }: Pick<ModelConfig, "vocab" | "head">): { from: number; to: number } {
  return head ? head.spans[head.rank]! : { from: 0, to: vocab };
}

/**
 * Reads the contents of a config.json. `file` is its path, for messages.
 * Errors: bad_checkpoint (a key missing or of the wrong type, sizes that contradict), unsupported_model (a model type
 * or a setting that is not implemented, with its value).
 */
export function parseConfig(json: unknown, file: string): ModelConfig {
  const top: Place = { file, path: "" };
  const outer = check(OuterConfig, json, top);
  const family = familyOf(outer.model_type, top);
  const nested = outer.text_config !== undefined;
  const place: Place = { file, path: nested ? "text_config." : "" };
  const text = check(TextConfig, nested ? outer.text_config : json, place);
  if (nested && text.model_type !== undefined && familyOf(text.model_type, place) !== family) {
    throw damaged(place, "model_type", `is "${text.model_type}" inside a "${outer.model_type}"`);
  }
  refuseQuantized(outer, top);
  refuseSettings(text, place);
  const layerTypes = layerTypesOf(text, family, place);
  const headDim = headDimOf(text, family, place);
  const experts = family.experts ? expertsOf(text, family.experts, place) : undefined;
  const allExperts = experts?.layers.every((has) => has) ?? false;
  if (!allExperts && !text.intermediate_size) throw damaged(place, "intermediate_size", "is missing");
  return {
    modelType: family.modelType,
    hidden: text.hidden_size,
    layers: text.num_hidden_layers,
    layerTypes,
    heads: text.num_attention_heads,
    kvHeads: kvHeadsOf(text, place),
    headDim,
    intermediate: text.intermediate_size ?? 0,
    experts,
    vocab: text.vocab_size,
    eps: text.rms_norm_eps,
    tied: outer.tie_word_embeddings ?? text.tie_word_embeddings ?? false,
    maxPositions: text.max_position_embeddings,
    attention: attentionOf(text, family),
    normOffset: family.normOffset,
    rope: ropeSettings(text, { headDim, rotary: family.rotary, mrope: family.hybrid }, place),
    delta: layerTypes.includes("linear_attention") ? deltaOf(text, place) : undefined,
    prefix: nested ? "model.language_model." : "model.",
    eosIds: [...new Set([outer.eos_token_id ?? [], text.eos_token_id ?? []].flat())],
    bosId: outer.bos_token_id ?? text.bos_token_id ?? undefined,
    imageToken: outer.image_token_id ?? undefined,
    vision: outer.vision_config ?? undefined,
  };
}

function familyOf(modelType: string, place: Place): Family {
  const name = modelType.replace(/_text$/, "");
  const family = Object.hasOwn(families, name) ? families[name as keyof typeof families] : undefined;
  if (family) return family;
  const list = `supported: ${supportedModelTypes.join(", ")}`;
  const planned = (plannedModelTypes as readonly string[]).includes(name);
  const what = planned ? "is known, but not supported yet" : "is not supported";
  throw new EngineError(
    "unsupported_model",
    `${place.file}: ${place.path}model_type "${modelType}" ${what}; ${list}`,
  );
}

function refuseQuantized(outer: OuterConfig, place: Place): void {
  const quantization = outer.quantization_config ?? undefined;
  if (quantization === undefined) return;
  const method = JSON.stringify(quantization["quant_method"] ?? quantization);
  throw unsupported(
    place,
    "quantization_config",
    `says ${method}: use the unquantized weights (bf16, f16 or f32) of this model`,
  );
}

/** Settings with one value that we compute, and others that we do not. */
function refuseSettings(text: TextConfig, place: Place): void {
  refuseQuantized(text as OuterConfig, place);
  if (text.hidden_act !== "silu") {
    throw unsupported(place, "hidden_act", `is "${text.hidden_act}"; supported: silu`);
  }
  if (text.mlp_bias) throw unsupported(place, "mlp_bias", "is true; supported: false");
  const gate = text.output_gate_type ?? "silu";
  if (gate !== "silu" && gate !== "swish") {
    throw unsupported(place, "output_gate_type", `is "${gate}"; supported: swish`);
  }
}

function attentionOf(text: TextConfig, family: Family): ModelConfig["attention"] {
  const bias =
    family.bias === "as configured" ? { qkv: text.attention_bias, o: text.attention_bias } : family.bias;
  return { bias, qkNorm: family.qkNorm, outputGate: family.hybrid && text.attn_output_gate };
}

function kvHeadsOf(text: TextConfig, place: Place): number {
  const kvHeads = text.num_key_value_heads ?? text.num_attention_heads;
  if (text.num_attention_heads % kvHeads !== 0) {
    throw damaged(
      place,
      "num_key_value_heads",
      `is ${kvHeads}, which does not divide ${text.num_attention_heads} heads`,
    );
  }
  return kvHeads;
}

function headDimOf(text: TextConfig, family: Family, place: Place): number {
  const headDim = text.head_dim ?? family.headDim ?? text.hidden_size / text.num_attention_heads;
  if (Number.isInteger(headDim)) return headDim;
  throw damaged(
    place,
    "head_dim",
    `is absent, and ${text.num_attention_heads} heads do not divide hidden_size ${text.hidden_size}`,
  );
}

function layerTypesOf(text: TextConfig, family: Family, place: Place): LayerType[] {
  const declared = text.layer_types ?? defaultLayerTypes(text, family);
  if (declared.length !== text.num_hidden_layers) {
    throw damaged(
      place,
      "layer_types",
      `has ${declared.length} entries for ${text.num_hidden_layers} layers`,
    );
  }
  return declared.map((type, i) => {
    if (type === "full_attention" || (type === "linear_attention" && family.hybrid)) return type;
    if (type === "sliding_attention") return windowless(text, place);
    throw unsupported(
      place,
      `layer_types.${i}`,
      `is "${type}", which ${family.modelType} does not have here`,
    );
  });
}

function defaultLayerTypes(text: TextConfig, family: Family): string[] {
  const interval = text.full_attention_interval ?? 4;
  const slides = (i: number) =>
    text.sliding_window &&
    (family.window === "always" ||
      (family.window === "with use_sliding_window" &&
        text.use_sliding_window &&
        i >= (text.max_window_layers ?? 0)));
  return Array.from({ length: text.num_hidden_layers }, (_, i) => {
    if (family.hybrid) return (i + 1) % interval === 0 ? "full_attention" : "linear_attention";
    return slides(i) ? "sliding_attention" : "full_attention";
  });
}

/** A window that no prompt can outgrow is full attention; a smaller one is not implemented. */
function windowless(text: TextConfig, place: Place): LayerType {
  const window = text.sliding_window ?? 0;
  if (window >= text.max_position_embeddings) return "full_attention";
  throw unsupported(
    place,
    "sliding_window",
    `is ${window}, less than max_position_embeddings ${text.max_position_embeddings}; supported: full attention`,
  );
}

function expertsOf(text: TextConfig, shares: NonNullable<Family["experts"]>, place: Place): ExpertsConfig {
  const c = check(ExpertsSchema, text, place);
  if (c.num_experts_per_tok > c.num_experts) {
    throw damaged(place, "num_experts_per_tok", `is ${c.num_experts_per_tok} of ${c.num_experts} experts`);
  }
  if (c.num_experts > mostExperts) {
    throw unsupported(place, "num_experts", `is ${c.num_experts}; supported: at most ${mostExperts}`);
  }
  return {
    experts: c.num_experts,
    used: c.num_experts_per_tok,
    intermediate: c.moe_intermediate_size,
    shared: c.shared_expert_intermediate_size || undefined,
    normalised: shares === "normalised" || c.norm_topk_prob,
    layers: Array.from(
      { length: text.num_hidden_layers },
      (_, i) => (i + 1) % c.decoder_sparse_step === 0 && !c.mlp_only_layers?.includes(i),
    ),
  };
}

function deltaOf(text: TextConfig, place: Place): DeltaSettings {
  const delta = check(DeltaConfig, text, place);
  const [keyHeads, valueHeads] = [delta.linear_num_key_heads, delta.linear_num_value_heads];
  if (valueHeads % keyHeads !== 0) {
    throw damaged(
      place,
      "linear_num_value_heads",
      `is ${valueHeads}, not a multiple of ${keyHeads} key heads`,
    );
  }
  return {
    keyHeads,
    valueHeads,
    keyDim: delta.linear_key_head_dim,
    valueDim: delta.linear_value_head_dim,
    conv: delta.linear_conv_kernel_dim,
    order: delta.linear_value_heads,
  };
}
