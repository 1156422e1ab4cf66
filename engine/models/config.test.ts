import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { demoModel, referenceFolders } from "../../test-fixtures/golden.ts";
import { EngineError } from "../errors.ts";
import { parseConfig, plannedModelTypes, supportedModelTypes, type ModelConfig } from "./config.ts";

type Json = Record<string, unknown>;

const flat: Json = {
  model_type: "qwen3",
  hidden_size: 96,
  num_hidden_layers: 5,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 32,
  intermediate_size: 160,
  vocab_size: 700,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
};

const hybrid: Json = {
  ...flat,
  model_type: "qwen3_5_text",
  linear_num_key_heads: 2,
  linear_num_value_heads: 6,
  linear_key_head_dim: 16,
  linear_value_head_dim: 24,
  linear_conv_kernel_dim: 4,
};

const nested = (text: Json = {}, outer: Json = {}): Json => ({
  model_type: "qwen3_5",
  text_config: { ...hybrid, ...text },
  vision_config: { depth: 3 },
  ...outer,
});

const parse = (json: unknown) => parseConfig(json, "/m/config.json");

function failure(json: unknown): EngineError {
  try {
    parse(json);
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** What a family is, read off the reference's documents by hand. */
const expected: Record<string, Partial<ModelConfig>> = {
  "llama3-tiny-ropescaled": {
    ...{ modelType: "llama", hidden: 128, layers: 3, heads: 4, kvHeads: 1, headDim: 64, intermediate: 256 },
    ...{ vocab: 512, eps: 1e-5, tied: true, maxPositions: 131072, normOffset: 0, prefix: "model." },
    attention: { bias: { qkv: false, o: false }, qkNorm: false, outputGate: false },
    rope: {
      ...{ theta: 500_000, dims: 64, mropeSection: undefined },
      scaling: { type: "llama3", factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalPositions: 8192 },
    },
    ...{ delta: undefined, eosIds: [492, 495], bosId: 491, vision: undefined },
  },
  "qwen2-tiny-sharded": {
    ...{ modelType: "qwen2", heads: 2, kvHeads: 1, headDim: 64, tied: true, normOffset: 0 },
    attention: { bias: { qkv: true, o: false }, qkNorm: false, outputGate: false },
    layerTypes: ["full_attention", "full_attention", "full_attention"],
    rope: { theta: 1_000_000, dims: 64, scaling: { type: "none" }, mropeSection: undefined },
  },
  "qwen3-tiny-tied": {
    ...{ modelType: "qwen3", heads: 4, kvHeads: 2, headDim: 64, tied: true, eosIds: [472] },
    attention: { bias: { qkv: false, o: false }, qkNorm: true, outputGate: false },
  },
  "qwen3_5-tiny-text": {
    ...{
      modelType: "qwen3_5",
      hidden: 64,
      layers: 8,
      headDim: 256,
      tied: false,
      normOffset: 1,
      prefix: "model.",
    },
    attention: { bias: { qkv: false, o: false }, qkNorm: true, outputGate: true },
    layerTypes: [1, 1, 1, 0, 1, 1, 1, 0].map((delta) => (delta ? "linear_attention" : "full_attention")),
    rope: { theta: 10_000_000, dims: 64, scaling: { type: "none" }, mropeSection: [11, 11, 10] },
    delta: { keyHeads: 2, valueHeads: 4, keyDim: 128, valueDim: 128, conv: 4, order: "grouped" },
    ...{ eosIds: [470], bosId: undefined, vision: undefined },
  },
  "qwen3_5-tiny-vl": {
    ...{
      modelType: "qwen3_5",
      hidden: 96,
      layers: 4,
      headDim: 256,
      tied: true,
      prefix: "model.language_model.",
    },
    rope: { theta: 10_000_000, dims: 64, scaling: { type: "none" }, mropeSection: [11, 11, 10] },
    delta: { keyHeads: 2, valueHeads: 2, keyDim: 128, valueDim: 128, conv: 4, order: "grouped" },
    vision: expect.objectContaining({ depth: 2, num_heads: 2, out_hidden_size: 96 }) as ModelConfig["vision"],
  },
};

describe("the checkpoints of the fixtures", () => {
  const folders = referenceFolders().filter((folder) => Object.hasOwn(expected, basename(folder)));

  test("every expectation has its checkpoint", () => {
    expect([...new Set(folders.map((folder) => basename(folder)))].sort()).toEqual(
      Object.keys(expected).sort(),
    );
  });

  test.each(folders)("%s", (folder) => {
    const file = join(folder, "config.json");
    const config = parseConfig(JSON.parse(readFileSync(file, "utf8")), file);
    expect(config).toMatchObject(expected[basename(folder)]!);
  });

  test("the demo model: nested, tied at both levels, with vision", () => {
    const file = join(demoModel, "config.json");
    const config = parseConfig(JSON.parse(readFileSync(file, "utf8")), file);
    expect(config).toMatchObject({
      ...{ modelType: "qwen3_5", prefix: "model.language_model.", tied: true, headDim: 64, eosIds: [1510] },
      layerTypes: ["linear_attention", "full_attention", "linear_attention", "full_attention"],
      rope: { theta: 10_000, dims: 16, mropeSection: [3, 3, 2] },
      delta: { keyHeads: 4, valueHeads: 8, keyDim: 32, valueDim: 32, conv: 4 },
      vision: { depth: 3, num_heads: 3 },
    });
  });
});

describe("what may be absent or said in two ways", () => {
  const full = (n: number) => Array.from({ length: n }, () => "full_attention");
  test.each<[string, Json, Partial<ModelConfig>]>([
    ["head_dim null: hidden / heads", { ...flat, model_type: "mistral", head_dim: null }, { headDim: 16 }],
    ["no head_dim in qwen3: 128", { ...flat, head_dim: undefined }, { headDim: 128 }],
    ["no kv heads: as many as heads", { ...flat, num_key_value_heads: null }, { kvHeads: 6 }],
    ["no tie_word_embeddings: untied", flat, { tied: false }],
    ["tied inside", nested({ tie_word_embeddings: true }), { tied: true }],
    ["tied outside", nested({}, { tie_word_embeddings: true }), { tied: true }],
    [
      "the outside decides",
      nested({ tie_word_embeddings: true }, { tie_word_embeddings: false }),
      { tied: false },
    ],
    ["end tokens of both levels", nested({ eos_token_id: 3 }, { eos_token_id: [7, 3] }), { eosIds: [7, 3] }],
    ["no end token", { ...flat, eos_token_id: null }, { eosIds: [], bosId: undefined }],
    ["qwen3_5 flat", { ...hybrid, model_type: "qwen3_5" }, { modelType: "qwen3_5", prefix: "model." }],
    [
      "a text model nested",
      nested({}, { vision_config: null }),
      { prefix: "model.language_model.", vision: undefined },
    ],
    [
      "an interval in place of layer_types",
      { ...hybrid, full_attention_interval: 2 },
      { layerTypes: [1, 0, 1, 0, 1].map((d) => (d ? "linear_attention" : "full_attention")) },
    ],
    [
      "no gate",
      { ...hybrid, attn_output_gate: false },
      { attention: { bias: { qkv: false, o: false }, qkNorm: true, outputGate: false } },
    ],
    ["swish is silu", { ...hybrid, output_gate_type: "swish" }, { modelType: "qwen3_5" }],
    [
      "bias in llama",
      { ...flat, model_type: "llama", attention_bias: true },
      { attention: { bias: { qkv: true, o: true }, qkNorm: false, outputGate: false } },
    ],
    [
      "no window",
      { ...flat, model_type: "mistral", sliding_window: null },
      { modelType: "llama", layerTypes: full(5) as never },
    ],
    [
      "a window as long as the context",
      { ...flat, model_type: "mistral", sliding_window: 4096 },
      { layerTypes: full(5) as never },
    ],
    [
      "a window that is not used",
      { ...flat, sliding_window: 32, use_sliding_window: false },
      { layerTypes: full(5) as never },
    ],
    [
      "a window that no layer is under",
      { ...flat, sliding_window: 32, use_sliding_window: true, max_window_layers: 5 },
      { layerTypes: full(5) as never },
    ],
  ])("%s", (_, json, want) => {
    expect(parse(json)).toMatchObject(want);
  });
});

describe("rope in both layouts", () => {
  const none = { type: "none" };
  const llama3 = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 512,
  };
  const scaling = { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalPositions: 512 };
  test.each<[string, Json, unknown]>([
    ["nothing said", flat, { theta: 10_000, dims: 32, scaling: none, mropeSection: undefined }],
    [
      "flat",
      { ...flat, rope_theta: 5e5, rope_scaling: null, partial_rotary_factor: 0.5 },
      { theta: 5e5, dims: 16 },
    ],
    [
      "nested",
      { ...flat, rope_parameters: { rope_type: "default", rope_theta: 7e5 } },
      { theta: 7e5, scaling: none },
    ],
    ["the inner theta wins", { ...flat, rope_theta: 2, rope_parameters: { rope_theta: 3 } }, { theta: 3 }],
    ["llama3, flat", { ...flat, rope_scaling: { rope_type: "llama3", ...llama3 } }, { scaling }],
    [
      "llama3, nested",
      { ...flat, rope_parameters: { rope_type: "llama3", ...llama3, rope_theta: 9 } },
      { scaling, theta: 9 },
    ],
    [
      "the older name of the type",
      { ...flat, rope_scaling: { type: "linear", factor: 4 } },
      { scaling: { type: "linear", factor: 4 } },
    ],
    ["qwen3_5 by default", nested(), { theta: 10_000, dims: 8, mropeSection: [11, 11, 10] }],
    [
      "qwen3_5 as released",
      nested({
        rope_parameters: {
          rope_theta: 1e7,
          mrope_section: [2, 1, 1],
          mrope_interleaved: true,
          partial_rotary_factor: 0.25,
        },
      }),
      { theta: 1e7, dims: 8, mropeSection: [2, 1, 1] },
    ],
  ])("%s", (_, json, want) => {
    expect(parse(json).rope).toMatchObject(want as object);
  });
});

describe("mixtures of experts", () => {
  const experts: Json = { num_experts: 12, num_experts_per_tok: 3, moe_intermediate_size: 40 };
  const without = { ...flat, intermediate_size: undefined };

  test.each<[string, Json, Partial<NonNullable<ModelConfig["experts"]>>]>([
    ["qwen3_moe", { ...flat, ...experts, model_type: "qwen3_moe" }, { normalised: false, shared: undefined }],
    [
      "as configured",
      { ...without, ...experts, model_type: "qwen3_moe", norm_topk_prob: true },
      { experts: 12, used: 3, intermediate: 40, normalised: true, layers: Array<boolean>(5).fill(true) },
    ],
    [
      "some layers dense",
      { ...flat, ...experts, model_type: "qwen3_moe", decoder_sparse_step: 2, mlp_only_layers: [3] },
      { layers: [false, true, false, false, false] },
    ],
    [
      "qwen3_5_moe",
      nested(
        { ...experts, model_type: "qwen3_5_moe_text", shared_expert_intermediate_size: 24 },
        { model_type: "qwen3_5_moe" },
      ),
      { normalised: true, shared: 24 },
    ],
  ])("%s", (_name, json, want) => {
    expect(parse(json).experts).toMatchObject(want);
  });

  test("dense families have none", () => {
    expect(parse({ ...flat, ...experts }).experts).toBeUndefined();
  });

  test.each<[string, Json, string]>([
    ["no number of experts", { ...experts, num_experts: undefined }, "num_experts is missing"],
    [
      "more of a token than there are",
      { ...experts, num_experts_per_tok: 13 },
      "num_experts_per_tok is 13 of 12",
    ],
    ["too many", { ...experts, num_experts: 2000 }, "num_experts is 2000; supported: at most 1024"],
    ["a dense layer without a width", { ...experts, mlp_only_layers: [0] }, "intermediate_size is missing"],
  ])("%s is refused", (_name, more, message) => {
    expect(failure({ ...without, model_type: "qwen3_moe", ...more }).message).toContain(message);
  });
});

describe("refused as unsupported, with the value", () => {
  test.each<[string, Json, string[]]>([
    ["an unknown model_type", { ...flat, model_type: "gemma3" }, ['"gemma3"', ...supportedModelTypes]],
    ["Object's own names", { ...flat, model_type: "toString" }, ['"toString"']],
    ...[...plannedModelTypes, "qwen3_next_text"].map((type): [string, Json, string[]] => [
      `${type}: known`,
      { ...flat, model_type: type },
      [`"${type}"`, "not supported yet"],
    ]),
    [
      "another family inside",
      nested({ model_type: "qwen3_next_text" }),
      ["text_config.model_type", "not supported yet"],
    ],
    [
      "yarn",
      { ...flat, rope_scaling: { rope_type: "yarn", factor: 4 } },
      ["rope_scaling.rope_type", '"yarn"'],
    ],
    [
      "yarn, nested",
      nested({ rope_parameters: { rope_type: "yarn" } }),
      ["text_config.rope_parameters.rope_type", '"yarn"'],
    ],
    [
      "dynamic, by its older name",
      { ...flat, rope_scaling: { type: "dynamic" } },
      ["rope_scaling.type", '"dynamic"'],
    ],
    ["M-RoPE in sections", nested({ rope_parameters: { mrope_interleaved: false } }), ["mrope_interleaved"]],
    ["gelu", { ...flat, hidden_act: "gelu" }, ["hidden_act", '"gelu"', "silu"]],
    ["mlp_bias", { ...flat, model_type: "llama", mlp_bias: true }, ["mlp_bias"]],
    [
      "a short window",
      { ...flat, model_type: "mistral", sliding_window: 1024 },
      ["sliding_window", "1024", "4096"],
    ],
    [
      "a window that is used",
      { ...flat, sliding_window: 32, use_sliding_window: true, max_window_layers: 4 },
      ["sliding_window", "32"],
    ],
    [
      "a declared window",
      { ...flat, sliding_window: 8, layer_types: ["sliding_attention", ...Array(4).fill("full_attention")] },
      ["sliding_window", "8"],
    ],
    [
      "linear attention where there is none",
      { ...flat, layer_types: Array(5).fill("linear_attention") },
      ["layer_types.0", '"linear_attention"'],
    ],
    [
      "a layer type of the future",
      { ...hybrid, layer_types: [...Array(4).fill("full_attention"), "mamba"] },
      ["layer_types.4", '"mamba"'],
    ],
    ["a sigmoid output gate", { ...hybrid, output_gate_type: "sigmoid" }, ["output_gate_type", '"sigmoid"']],
    [
      "quantized weights",
      { ...flat, quantization_config: { quant_method: "gptq", bits: 4 } },
      ["quantization_config", '"gptq"'],
    ],
    [
      "quantized weights, nested",
      nested({ quantization_config: { quant_method: "fp8" } }),
      ["text_config.quantization_config", '"fp8"'],
    ],
  ])("%s", (_, json, parts) => {
    const error = failure(json);
    expect(error.code).toBe("unsupported_model");
    for (const part of ["/m/config.json", ...parts]) expect(error.message).toContain(part);
  });
});

describe("refused as damaged, with the path of the key", () => {
  const without = (json: Json, key: string) =>
    Object.fromEntries(Object.entries(json).filter(([k]) => k !== key));
  const required = Object.keys(flat).filter((key) => key !== "num_key_value_heads" && key !== "head_dim");
  test.each<[string, unknown, string[]]>([
    ...required.map((key): [string, Json, string[]] => [
      `no ${key}`,
      without(flat, key),
      [`: ${key} is missing`],
    ]),
    ["not an object", "qwen3", ['"qwen3"']],
    ["a string for a number", { ...flat, hidden_size: "96" }, ["hidden_size", '"96"', "number"]],
    ["a fraction", { ...flat, vocab_size: 1.5 }, ["vocab_size", "1.5"]],
    ["zero layers", { ...flat, num_hidden_layers: 0 }, ["num_hidden_layers", "0"]],
    ["layers without end", { ...flat, num_hidden_layers: 4e9 }, ["num_hidden_layers", "4000000000"]],
    ["a nested key", nested({ num_attention_heads: null }), ["text_config.num_attention_heads", "null"]],
    ["text_config null", nested({}, { text_config: null }), ["text_config", "null"]],
    [
      "a key of the delta net",
      nested({ linear_conv_kernel_dim: undefined }),
      ["text_config.linear_conv_kernel_dim is missing"],
    ],
    [
      "a rope key",
      { ...flat, rope_scaling: { rope_type: "llama3", factor: 8 } },
      ["rope_scaling.low_freq_factor is missing"],
    ],
    [
      "a rope of the wrong type",
      { ...flat, rope_parameters: { rope_theta: "1e6" } },
      ["rope_parameters.rope_theta", '"1e6"'],
    ],
    [
      "too few layer types",
      { ...flat, layer_types: ["full_attention"] },
      ["layer_types", "1 entries", "5 layers"],
    ],
    ["kv heads that do not divide", { ...flat, num_key_value_heads: 4 }, ["num_key_value_heads", "4", "6"]],
    [
      "value heads that do not divide",
      nested({ linear_num_value_heads: 5 }),
      ["text_config.linear_num_value_heads", "5"],
    ],
    [
      "no head width to be had",
      { ...flat, model_type: "llama", head_dim: null, hidden_size: 97 },
      ["head_dim", "97"],
    ],
    [
      "an odd rotary width",
      { ...flat, partial_rotary_factor: 0.1 },
      ["partial_rotary_factor", "0.1", "3 of 32"],
    ],
    ["an end token that is text", { ...flat, eos_token_id: "</s>" }, ["eos_token_id", "</s>"]],
    [
      "a llama inside a qwen3_5",
      nested({ model_type: "llama" }),
      ["text_config.model_type", '"llama"', '"qwen3_5"'],
    ],
  ])("%s", (_, json, parts) => {
    const error = failure(json);
    expect(error.code).toBe("bad_checkpoint");
    for (const part of ["/m/config.json", ...parts]) expect(error.message).toContain(part);
  });
});
