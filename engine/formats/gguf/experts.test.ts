// Mixtures of experts in GGUF files: names, shapes and settings as llama.cpp's conversion writes them, and what becomes
// of them here.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { noise } from "../../../test-fixtures/dense.ts";
import { parseConfig } from "../../models/config.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { writeGguf, type GgufTensorSource, type TypedValue } from "./write.ts";

const folder = mkdtempSync(join(tmpdir(), "gguf-experts-"));
afterAll(() => rmSync(folder, { recursive: true }));

const [H, E, I, S] = [32, 6, 24, 40];

function f32(name: string, ...shape: number[]): GgufTensorSource {
  const count = shape.reduce((product, size) => product * size, 1);
  return { name, dtype: "F32", shape, data: noise(count, name.length) };
}

const settings = (architecture: string, more: Record<string, TypedValue> = {}) => ({
  "general.architecture": ["string", architecture] as const,
  ...Object.fromEntries(
    Object.entries({
      block_count: ["u32", 1],
      context_length: ["u32", 512],
      embedding_length: ["u32", H],
      feed_forward_length: ["u32", 0],
      "attention.head_count": ["u32", 4],
      "attention.head_count_kv": ["u32", 2],
      "attention.key_length": ["u32", 8],
      "attention.value_length": ["u32", 8],
      "attention.layer_norm_rms_epsilon": ["f32", 1e-6],
      "rope.freq_base": ["f32", 1e6],
      expert_count: ["u32", E],
      expert_used_count: ["u32", 2],
      expert_feed_forward_length: ["u32", I],
      ...more,
    } satisfies Record<string, TypedValue>).map(([key, value]) => [`${architecture}.${key}`, value]),
  ),
});

const routed = [
  f32("token_embd.weight", 50, H),
  f32("blk.0.ffn_gate_inp.weight", E, H),
  f32("blk.0.ffn_gate_exps.weight", E, I, H),
  f32("blk.0.ffn_up_exps.weight", E, I, H),
  f32("blk.0.ffn_down_exps.weight", E, H, I),
];

test("qwen3moe", async () => {
  const path = join(folder, "qwen3moe.gguf");
  await writeGguf(path, settings("qwen3moe"), [...routed, f32("blk.0.ffn_norm.weight", H)]);
  const checkpoint = await openCheckpoint(path);
  expect(parseConfig(checkpoint.config, path)).toMatchObject({
    modelType: "qwen3_moe",
    intermediate: 0,
    experts: { experts: E, used: 2, intermediate: I, shared: undefined, normalised: true, layers: [true] },
  });
  const at = "model.layers.0.mlp";
  checkpoint.expectTensor(`${at}.gate.weight`, [E, H]);
  checkpoint.expectTensor(`${at}.experts.gate_proj.weight`, [E, I, H]);
  checkpoint.expectTensor(`${at}.experts.up_proj.weight`, [E, I, H]);
  checkpoint.expectTensor(`${at}.experts.down_proj.weight`, [E, H, I]);
  const rows: number[] = [];
  await checkpoint.stream(
    `${at}.experts.up_proj.weight`,
    { rows: [I, 2 * I] },
    (_, row) => void rows.push(row),
  );
  expect(rows).toEqual([I]); // the second expert's
  await checkpoint.close();
});

test("qwen35moe: an expert that all share, whose gate is a row; norms plus one", async () => {
  const path = join(folder, "qwen35moe.gguf");
  const tensors = [
    ...routed,
    f32("blk.0.post_attention_norm.weight", H),
    f32("blk.0.ffn_gate_inp_shexp.weight", H),
    f32("blk.0.ffn_gate_shexp.weight", S, H),
    f32("blk.0.ffn_up_shexp.weight", S, H),
    f32("blk.0.ffn_down_shexp.weight", H, S),
  ];
  const more: Record<string, TypedValue> = {
    expert_shared_feed_forward_length: ["u32", S],
    "ssm.group_count": ["u32", 2],
    "ssm.time_step_rank": ["u32", 4],
    "ssm.inner_size": ["u32", 64],
    "ssm.state_size": ["u32", 8],
    "ssm.conv_kernel": ["u32", 4],
    full_attention_interval: ["u32", 4],
    "rope.dimension_count": ["u32", 4],
    "rope.dimension_sections": ["i32[]", [1, 1, 0, 0]],
  };
  await writeGguf(path, settings("qwen35moe", more), tensors);
  const checkpoint = await openCheckpoint(path);
  expect(parseConfig(checkpoint.config, path)).toMatchObject({
    modelType: "qwen3_5_moe",
    normOffset: 1,
    delta: { keyHeads: 2, valueHeads: 4, order: "tiled" },
    experts: { experts: E, used: 2, shared: S, normalised: true },
  });
  const at = "model.layers.0";
  checkpoint.expectTensor(`${at}.mlp.shared_expert.down_proj.weight`, [H, S]);
  checkpoint.expectTensor(`${at}.mlp.shared_expert_gate.weight`, [1, H]);
  const stored = tensors.find(({ name }) => name.includes("post_attention"))!.data as Float32Array;
  const norm = await checkpoint.readF32(`${at}.post_attention_layernorm.weight`);
  expect([...norm]).toEqual([...stored].map((value) => Math.fround(value - 1)));
  await checkpoint.close();
});

test("shares that are not normalised are known by their key", async () => {
  const path = join(folder, "unnormalised.gguf");
  await writeGguf(path, settings("qwen3moe", { expert_weights_norm: ["bool", false] }), routed);
  const checkpoint = await openCheckpoint(path);
  expect(parseConfig(checkpoint.config, path).experts?.normalised).toBe(false);
  await checkpoint.close();
});
