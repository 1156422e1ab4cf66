// GGUF metadata → what config.json and generation_config.json would say of the same model, so that one parser checks
// both. Nothing is guessed: a key that config.json needs and the file lacks is missing there, too.
import { EngineError } from "../../errors.ts";
import { bad, type TensorEntry } from "../header.ts";
import { architectureOf, architectureTypes, isHybrid, type GgufArchitecture } from "./names.ts";
import { endTokens } from "./tokens.ts";
import type { GgufValue, Metadata } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** What is known of the file besides its metadata. */
export interface GgufFacts {
  readonly path: string;
  readonly metadata: Metadata;
  readonly tensors: Pick<ReadonlyMap<string, TensorEntry>, "get" | "has">;
  /** rope_freqs.weight, where the file has it: what each frequency is divided by. */
  readonly ropeFactors: readonly number[] | undefined;
}

/** Errors: unsupported_model (the architecture, or a setting that config.json could not express). */
export function configFromGguf(facts: GgufFacts): Json {
  const { metadata, tensors, path } = facts;
  const architecture = architectureOf(metadata.get("general.architecture"), path);
  const of = new Keys(path, architecture, metadata);
  const window = of.number("attention.sliding_window");
  const headDim = headDimOf(of);
  return defined({
    model_type: architecture === "llama" && window ? "mistral" : architectureTypes[architecture],
    hidden_size: of.number("embedding_length"),
    num_hidden_layers: layersOf(of),
    num_attention_heads: of.number("attention.head_count"),
    num_key_value_heads: of.number("attention.head_count_kv"),
    head_dim: headDim,
    intermediate_size: of.number("feed_forward_length") || undefined,
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
    max_position_embeddings: of.number("context_length"),
    rms_norm_eps: of.decimal("attention.layer_norm_rms_epsilon"),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: biasOf(facts, architecture),
    sliding_window: window,
    ...(isHybrid(architecture) ? hybrid(of) : {}),
    ...(of.number("expert_count") ? experts(of) : {}),
    rope_parameters: rope(of, headDim, facts.ropeFactors),
    bos_token_id: metadata.get("tokenizer.ggml.bos_token_id"),
    eos_token_id: endTokens(metadata),
    pooling_type: of.number("pooling_type"), // of embedding models
  });
}

/** generation_config.json: the file's advice on sampling, and what ends an answer. */
export function generationFromGguf(metadata: Metadata): Json {
  const advice = (key: string) => {
    const value = metadata.get(`general.sampling.${key}`);
    return typeof value === "number" ? shortest(value) : undefined;
  };
  return defined({
    temperature: advice("temp"),
    top_k: advice("top_k"),
    top_p: advice("top_p"),
    min_p: advice("min_p"),
    repetition_penalty: advice("penalty_repeat"),
    eos_token_id: endTokens(metadata),
  });
}

/** Decoder layers: blocks of multi-token prediction stand behind them and are not run. */
export function layersOf(of: Keys): number | undefined {
  const blocks = of.number("block_count");
  return blocks === undefined ? undefined : blocks - (of.number("nextn_predict_layers") ?? 0);
}

/**
 * Blocks are as many as the tensors have; those behind the decoder's layers may be absent. Errors: bad_checkpoint.
 * prefix: of the blocks' tensors
 */
export function checkBlocks(of: Keys, names: Iterable<string>, prefix: string): void {
  const blocks = of.number("block_count");
  let found = 0;
  for (const name of names) {
    const block = name.startsWith(prefix) ? parseInt(name.slice(prefix.length), 10) : -1;
    if (block >= found) found = block + 1;
  }
  if (blocks === undefined || (found <= blocks && layersOf(of)! <= found)) return;
  throw of.wrong("block_count", `${found}, as the tensors have it,`);
}

/** An architecture's keys. */
export class Keys {
  readonly #path: string;
  readonly #architecture: string;
  readonly #metadata: Metadata;

  constructor(path: string, architecture: string, metadata: Metadata) {
    this.#path = path;
    this.#architecture = architecture;
    this.#metadata = metadata;
  }

  get(key: string): GgufValue | undefined {
    return this.#metadata.get(`${this.#architecture}.${key}`);
  }

  /** A number, or an array of one number again and again, as some files have it for each layer. Errors: unsupported_model. */
  number(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === "number") return value;
    const first: unknown = Array.isArray(value) ? value[0] : undefined;
    if (typeof first === "number" && (value as unknown[]).every((one) => one === first)) return first;
    if (typeof first === "number") throw this.unsupported(key, "differs from layer to layer");
    throw this.wrong(key, "a number");
  }

  /** A number that was written as f32: the shortest decimal that becomes it. */
  decimal(key: string): number | undefined {
    const value = this.number(key);
    return value === undefined ? undefined : shortest(value);
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.wrong(key, "a string");
  }

  numbers(key: string): readonly number[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((one) => typeof one === "number")) return value;
    throw this.wrong(key, "an array of numbers");
  }

  /** Numbers that were written as f32. */
  decimals(key: string): readonly number[] | undefined {
    return this.numbers(key)?.map(shortest);
  }

  flag(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.wrong(key, "a boolean");
  }

  flags(key: string): readonly boolean[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((one) => typeof one === "boolean")) return value;
    throw this.wrong(key, "an array of booleans");
  }

  unsupported(key: string, what: string): EngineError {
    return new EngineError(
      "unsupported_model",
      `${this.#path}: metadata ${this.#architecture}.${key} ${what}`,
    );
  }

  wrong(key: string, expected: string): EngineError {
    const shown = String(this.get(key)).slice(0, 60);
    return bad(this.#path, `metadata ${this.#architecture}.${key} is ${shown}: ${expected} is expected`);
  }
}

function headDimOf(of: Keys): number | undefined {
  const key = of.number("attention.key_length");
  const value = of.number("attention.value_length");
  if (key !== value && key !== undefined && value !== undefined) {
    throw of.unsupported(
      "attention.value_length",
      `is ${value}, and key_length ${key}; supported: both the same`,
    );
  }
  const [hidden, heads] = [of.number("embedding_length"), of.number("attention.head_count")];
  return key ?? (hidden && heads && hidden % heads === 0 ? hidden / heads : undefined);
}

/** Qwen2 has biases on q, k and v alone; the other families on all four projections or on none. */
function biasOf({ path, tensors }: GgufFacts, architecture: GgufArchitecture): boolean | undefined {
  if (architecture === "qwen2") return undefined;
  const [q, o] = [tensors.has("blk.0.attn_q.bias"), tensors.has("blk.0.attn_output.bias")];
  if (q === o) return q;
  const [has, lacks] = q ? ["attn_q", "attn_output"] : ["attn_output", "attn_q"];
  throw new EngineError("unsupported_model", `${path}: has ${has}.bias, but no ${lacks}.bias`);
}

/** Which layers are dense is not said: their tensors show it, and none of our families has both. */
function experts(of: Keys): Json {
  return {
    num_experts: of.number("expert_count"),
    num_experts_per_tok: of.number("expert_used_count"),
    moe_intermediate_size: of.number("expert_feed_forward_length"),
    shared_expert_intermediate_size: of.number("expert_shared_feed_forward_length"),
    norm_topk_prob: of.flag("expert_weights_norm") ?? true,
  };
}

function hybrid(of: Keys): Json {
  const keyHeads = of.number("ssm.group_count");
  const valueHeads = of.number("ssm.time_step_rank");
  const values = of.number("ssm.inner_size");
  return {
    full_attention_interval: of.number("full_attention_interval"),
    layer_types: layerTypes(of),
    linear_num_key_heads: keyHeads,
    linear_num_value_heads: valueHeads,
    linear_key_head_dim: of.number("ssm.state_size"),
    linear_value_head_dim: values !== undefined && valueHeads ? values / valueHeads : undefined,
    linear_conv_kernel_dim: of.number("ssm.conv_kernel"),
    linear_value_heads: keyHeads === valueHeads ? undefined : "tiled",
  };
}

/** Which layers are recurrent, where the file says so one by one. */
function layerTypes(of: Keys): string[] | undefined {
  const recurrent = of.get("attention.recurrent_layers");
  if (recurrent === undefined) return undefined;
  if (!Array.isArray(recurrent)) throw of.wrong("attention.recurrent_layers", "an array");
  return recurrent.slice(0, layersOf(of)).map((is) => (is ? "linear_attention" : "full_attention"));
}

function rope(of: Keys, headDim: number | undefined, factors: readonly number[] | undefined): Json {
  const dims = of.number("rope.dimension_count");
  const type = of.string("rope.scaling.type");
  const scaled = type !== undefined && type !== "none";
  if (scaled && factors) throw of.unsupported("rope.scaling.type", `is "${type}", beside rope_freqs.weight`);
  return defined({
    rope_theta: of.number("rope.freq_base"),
    partial_rotary_factor: dims !== undefined && headDim ? dims / headDim : undefined,
    mrope_section: of.numbers("rope.dimension_sections")?.slice(0, 3),
    rope_type: factors ? "factors" : scaled ? type : undefined,
    factor: scaled ? of.decimal("rope.scaling.factor") : undefined,
    factors,
  });
}

/** The decimal of fewest digits that is the same f32. */
function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

export function defined(values: Record<string, unknown>): Json {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
