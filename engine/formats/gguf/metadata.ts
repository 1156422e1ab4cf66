// A checkpoint's settings and tokenizer as GGUF metadata.
import { EngineError } from "../../errors.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { tokenKinds } from "./tokens.ts";
import { isHybrid } from "./names.ts";
import { wordsName } from "./tokenizer.ts";
import type { ExportShape } from "./shape.ts";
import type { TypedValue } from "./write.ts";

type Json = Readonly<Record<string, unknown>>;

export interface ExportedText {
  /** The contents of tokenizer.json (byte-level BPE) and tokenizer_config.json. */
  readonly tokenizer?: Json;
  readonly tokenizerConfig?: Json;
  readonly chatTemplate?: string;
}

/** Errors: unsupported_model for a tokenizer that GGUF has no name for here. */
export function metadataOf(
  checkpoint: Checkpoint,
  shape: ExportShape,
  text: ExportedText,
): Record<string, TypedValue> {
  const general: Record<string, TypedValue> = {
    "general.architecture": ["string", shape.architecture],
    "general.quantization_version": ["u32", 2],
  };
  return { ...general, ...settings(shape), ...(text.tokenizer ? tokens(checkpoint, shape, text) : {}) };
}

function settings({
  architecture,
  text,
  layers,
  headDim,
  rotary,
  rope,
}: ExportShape): Record<string, TypedValue> {
  const number = (key: string) => text[key] as number;
  const values: Record<string, TypedValue | undefined> = {
    block_count: ["u32", layers],
    context_length: ["u32", number("max_position_embeddings")],
    embedding_length: ["u32", number("hidden_size")],
    feed_forward_length: ["u32", number("intermediate_size")],
    "attention.head_count": ["u32", number("num_attention_heads")],
    "attention.head_count_kv": ["u32", number("num_key_value_heads") ?? number("num_attention_heads")],
    "attention.key_length": ["u32", headDim],
    "attention.value_length": ["u32", headDim],
    "attention.layer_norm_rms_epsilon": ["f32", number("rms_norm_eps")],
    vocab_size: ["u32", number("vocab_size")],
    "rope.dimension_count": ["u32", rotary],
    "rope.freq_base": ["f32", rope["rope_theta"] as number],
    ...(rope["rope_type"] === "linear" ? linear(rope) : {}),
    ...(isHybrid(architecture) ? hybrid(text, rope, layers) : {}),
  };
  const given = Object.entries(values).filter((one): one is [string, TypedValue] => one[1] !== undefined);
  return Object.fromEntries(given.map(([key, value]) => [`${architecture}.${key}`, value]));
}

function linear(rope: Json): Record<string, TypedValue> {
  return {
    "rope.scaling.type": ["string", "linear"],
    "rope.scaling.factor": ["f32", rope["factor"] as number],
  };
}

function hybrid(text: Json, rope: Json, layers: number): Record<string, TypedValue> {
  const number = (key: string) => text[key] as number;
  const types = text["layer_types"] as string[] | undefined;
  const sections = (rope["mrope_section"] as number[] | undefined) ?? [11, 11, 10];
  return {
    "ssm.conv_kernel": ["u32", number("linear_conv_kernel_dim")],
    "ssm.state_size": ["u32", number("linear_key_head_dim")],
    "ssm.group_count": ["u32", number("linear_num_key_heads")],
    "ssm.time_step_rank": ["u32", number("linear_num_value_heads")],
    "ssm.inner_size": ["u32", number("linear_num_value_heads") * number("linear_value_head_dim")],
    full_attention_interval: ["u32", number("full_attention_interval") ?? 4],
    "rope.dimension_sections": ["i32[]", [...sections, 0]],
    ...(types?.length === layers
      ? {
          "attention.recurrent_layers": ["bool[]", types.map((type) => type === "linear_attention")] as const,
        }
      : {}),
  };
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
}

function tokens(
  checkpoint: Checkpoint,
  shape: ExportShape,
  { tokenizer, tokenizerConfig = {}, chatTemplate }: ExportedText,
): Record<string, TypedValue> {
  const words = wordsName(tokenizer!);
  if (!words) {
    throw new EngineError(
      "unsupported_model",
      `${checkpoint.folder}: its tokenizer cuts words in a way without a name in GGUF`,
    );
  }
  const model = tokenizer!["model"] as {
    vocab: Record<string, number>;
    merges: (string | [string, string])[];
  };
  const added = tokenizer!["added_tokens"] as AddedToken[];
  const { texts, kinds } = listed(model.vocab, added, shape.text["vocab_size"] as number);
  const idOf = (text: unknown) => texts.indexOf(textOf(text) ?? "");
  const named = { bos: idOf(tokenizerConfig["bos_token"]), eos: idOf(tokenizerConfig["eos_token"]) };
  const begins = JSON.stringify(tokenizer!["post_processor"] ?? null).includes("TemplateProcessing");
  const template = chatTemplate ?? tokenizerConfig["chat_template"];
  return {
    "tokenizer.ggml.model": ["string", "gpt2"],
    "tokenizer.ggml.pre": ["string", words],
    "tokenizer.ggml.tokens": ["string[]", texts],
    "tokenizer.ggml.token_type": ["i32[]", kinds],
    "tokenizer.ggml.merges": [
      "string[]",
      model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" "))),
    ],
    "tokenizer.ggml.add_bos_token": ["bool", begins],
    ...ids(named),
    ...(typeof template === "string" ? { "tokenizer.chat_template": ["string", template] as const } : {}),
  };
}

/** Texts by id, one for every row of the embedding. */
function listed(vocab: Record<string, number>, added: readonly AddedToken[], rows: number) {
  const { normal, control, userDefined, unused } = tokenKinds;
  const texts = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const kinds = texts.map((): number => unused);
  const put = (id: number, text: string, kind: number) => {
    texts[id] = text;
    kinds[id] = kind;
  };
  for (const [text, id] of Object.entries(vocab)) put(id, text, normal);
  for (const { id, content, special } of added) put(id, content, special ? control : userDefined);
  return { texts, kinds };
}

function textOf(token: unknown): string | undefined {
  return typeof token === "string" ? token : (token as { content?: string } | null | undefined)?.content;
}

function ids(named: Record<string, number>): Record<string, TypedValue> {
  const known = Object.entries(named).filter(([, id]) => id >= 0);
  return Object.fromEntries(
    known.map(([name, id]) => [`tokenizer.ggml.${name}_token_id`, ["u32", id] as const]),
  );
}
