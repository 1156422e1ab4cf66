import { expect, test } from "vitest";
import { blockFormats, blockTypes } from "../formats/blocks/format.ts";
import { weightFormats } from "../gpu/tensor.ts";
import { formatOf, keptAs } from "./quantRule.ts";

const mlp = "model.layers.3.mlp.down_proj.weight";
const embedding = "model.language_model.embed_tokens.weight";

test.each([
  ["nothing asked for", mlp, "BF16", 1024, undefined, "BF16"],
  ["floats", mlp, "BF16", 1024, "Q4_K", "Q4_K"],
  ["f32 as well", mlp, "F32", 512, "Q8_0", "Q8_0"],
  ["blocks stay what they are", mlp, "Q4_0", 1024, "Q8_0", "Q4_0"],
  ["the embedding, six bits at least", embedding, "BF16", 1024, "Q4_K", "Q6_K"],
  ["the head, too", "lm_head.weight", "F16", 1024, "Q2_K", "Q6_K"],
  ["or what was asked for, where that is more", "lm_head.weight", "F16", 1024, "Q8_0", "Q8_0"],
  ["rows of no whole 256", mlp, "BF16", 864, "Q4_K", "Q5_0"],
  ["an embedding of no whole 256", embedding, "BF16", 864, "Q4_K", "Q8_0"],
  ["rows of no whole 32", mlp, "BF16", 1000, "Q4_K", "BF16"],
  ["pictures", "model.visual.blocks.0.attn.qkv.weight", "BF16", 1024, "Q4_K", "BF16"],
] as const)("%s", (_, name, stored, K, quant, kept) => {
  expect(keptAs(name, stored, K, quant)).toBe(kept);
});

test.each(blockTypes)("%s on rows of any length keeps at least its bits, and in whole blocks", (quant) => {
  for (const K of [32, 96, 256, 288, 1024, 5120]) {
    for (const name of [mlp, embedding]) {
      const kept = keptAs(name, "BF16", K, quant);
      if (kept === "BF16" || kept === "F16" || kept === "F32") throw new Error(`${K} was not quantised`);
      expect(K % blockFormats[kept].values).toBe(0);
      expect(blockFormats[kept].bits).toBeGreaterThanOrEqual(blockFormats[quant].bits);
      if (name === embedding) expect(blockFormats[kept].bits).toBeGreaterThanOrEqual(6);
    }
  }
});

test("every type that may be kept has a format on the device", () => {
  for (const dtype of [...blockTypes, "F32", "F16", "BF16"] as const) {
    expect(weightFormats).toContain(formatOf(dtype));
  }
});
