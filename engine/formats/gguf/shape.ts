// What a config.json says, as far as writing the same model as GGUF needs it.
import { EngineError } from "../../errors.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { architectureTypes, isHybrid, type GgufArchitecture } from "./names.ts";

type Json = Readonly<Record<string, unknown>>;

export interface ExportShape {
  readonly architecture: GgufArchitecture;
  /** The settings of the language model. */
  readonly text: Json;
  /** What the names of its tensors begin with. */
  readonly prefix: string;
  readonly layers: number;
  readonly headDim: number;
  /** Rotary dimensions of a head. */
  readonly rotary: number;
  readonly rope: Json;
  /** The heads of a delta net that has more value heads than key heads. */
  readonly tiled: { keyHeads: number; valueHeads: number; keyDim: number; valueDim: number } | undefined;
  readonly ropeFactors: readonly number[] | undefined;
}

/** Errors: unsupported_model, for mixtures of experts as well: of those GGUF has other tensors. */
export function shapeOf({ config, configFile }: Checkpoint): ExportShape {
  const text = (config["text_config"] as Json | undefined) ?? config;
  const type = String(text["model_type"] ?? config["model_type"]);
  const architecture = architectureFor(type);
  if (!architecture || text["num_experts"] !== undefined)
    throw new EngineError("unsupported_model", `${configFile}: model_type ${type} has no GGUF form here`);
  const number = (key: string) => text[key] as number;
  const hybrid = isHybrid(architecture);
  const headDim = number("head_dim") ?? number("hidden_size") / number("num_attention_heads");
  const rope = { ...(text["rope_parameters"] as Json), ...(text["rope_scaling"] as Json | null) };
  const share = rope["partial_rotary_factor"] ?? text["partial_rotary_factor"] ?? (hybrid ? 0.25 : 1);
  const [keyHeads, valueHeads] = [number("linear_num_key_heads"), number("linear_num_value_heads")];
  const dims = { keyDim: number("linear_key_head_dim"), valueDim: number("linear_value_head_dim") };
  const rotary = Math.floor(headDim * Number(share));
  const theta = Number(rope["rope_theta"] ?? text["rope_theta"] ?? 10_000);
  return {
    architecture,
    text,
    prefix: text === config ? "model." : "model.language_model.",
    layers: number("num_hidden_layers"),
    headDim,
    rotary,
    rope: { ...rope, rope_theta: theta },
    tiled: hybrid && keyHeads !== valueHeads ? { keyHeads, valueHeads, ...dims } : undefined,
    ropeFactors: llama3Factors(rope, theta, rotary),
  };
}

function architectureFor(type: string): GgufArchitecture | undefined {
  const names: Readonly<Record<string, GgufArchitecture>> = { mistral: "llama", qwen3_5: "qwen35" };
  const known = Object.entries(architectureTypes).find(([, modelType]) => modelType === type);
  return (known?.[0] as GgufArchitecture | undefined) ?? names[type];
}

/** Llama 3's stretching of long waves, as GGUF has it: what each frequency is divided by. */
function llama3Factors(rope: Json, theta: number, rotary: number): number[] | undefined {
  if (rope["rope_type"] !== "llama3") return undefined;
  const number = (key: string) => Number(rope[key]);
  const [factor, low, high] = [number("factor"), number("low_freq_factor"), number("high_freq_factor")];
  const positions = number("original_max_position_embeddings");
  return Array.from({ length: rotary / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / rotary);
    if (wavelength < positions / high) return 1;
    if (wavelength > positions / low) return factor;
    const smooth = (positions / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
