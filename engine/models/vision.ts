// Qwen3.5's vision tower: a picture's patches at their own aspect, a learned position grid stretched over them, 2-D
// rotary positions, attention of all to all; then every 2 × 2 patches become one token of the language model.
import * as op from "../ops/index.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Tensor, Weight } from "../gpu/tensor.ts";
import type { Loader } from "./loader.ts";
import type { VisionConfig } from "./visionConfig.ts";

/** Of every layer norm. */
const eps = 1e-6;
const prefix = "model.visual.";

/** What a pass over one picture reads. */
export interface VisionInputs extends op.VisionPlaces {
  /** [N, 3 · frames · patch²] */
  pixels: Tensor;
}

export interface VisionTower {
  readonly config: VisionConfig;
  /** Patches → what the merger reads, [N, Hv]. */
  body(pass: Pass, inputs: VisionInputs): Tensor;
  /** The same values by tokens, [N / merge², merge² · Hv] → [N / merge², H]. A pass of tokens, not of patches. */
  merge(pass: Pass, x: Tensor): Tensor;
}

type Block = (pass: Pass, x: Tensor, places: op.VisionPlaces) => Tensor;

/** The tensor whose presence says that a checkpoint has a tower. */
export const towerTensor = `${prefix}patch_embed.proj.weight`;

export async function visionTower(load: Loader, c: VisionConfig): Promise<VisionTower> {
  const embed = await patchEmbed(load, c);
  const grid = await load.vector(`${prefix}pos_embed.weight`, [c.side ** 2, c.hidden]);
  const blocks: Block[] = [];
  for (let i = 0; i < c.depth; i += 1) {
    const at = `${prefix}blocks.${i}.`;
    const [attend, mlp] = [await attention(load, c, at), await twoLayers(load, c, at)];
    blocks.push((pass, x, places) => mlp(pass, attend(pass, x, places)));
  }
  const wide = c.merge ** 2 * c.hidden;
  const norm = await layerNorm(load, `${prefix}merger.norm`, c.hidden);
  const fc1 = await linear(load, `${prefix}merger.linear_fc1`, wide, wide);
  const fc2 = await linear(load, `${prefix}merger.linear_fc2`, c.out, wide);

  return {
    config: c,
    body: (pass, inputs) => {
      let x = pass.keep("vision.patch_embed", op.linear(pass, inputs.pixels, embed.W, { bias: embed.bias }));
      x = pass.keep("vision.block_in", op.addPositions(pass, x, grid, inputs));
      for (const [i, block] of blocks.entries()) x = pass.keep(`vision.block.${i}`, block(pass, x, inputs));
      return op.layerNorm(pass, x, norm, eps);
    },
    merge: (pass, x) => {
      const u = op.linear(pass, x, fc1.W, { bias: fc1.bias, activation: "gelu_erf" });
      return pass.keep("vision.merged", op.linear(pass, u, fc2.W, { bias: fc2.bias }));
    },
  };
}

/** A convolution whose kernel is its stride is a matrix over the patch's values. */
async function patchEmbed(load: Loader, c: VisionConfig): Promise<{ W: Weight; bias: Tensor }> {
  const shape = [c.hidden, 3, c.frames, c.patch, c.patch];
  const { storage } = await load.vector(towerTensor, shape, [c.hidden, c.patchValues]);
  const shard = { firstRow: 0, rows: c.hidden, format: "f32", place: storage.buffer! } as const;
  const W: Weight = { shape: [c.hidden, c.patchValues], shards: [shard] };
  return { W, bias: await load.vector(`${prefix}patch_embed.proj.bias`, [c.hidden]) };
}

/** x + proj(attention(norm(x))) */
async function attention(load: Loader, c: VisionConfig, at: string): Promise<Block> {
  const norm = await layerNorm(load, `${at}norm1`, c.hidden);
  const qkv = await linear(load, `${at}attn.qkv`, 3 * c.hidden, c.hidden);
  const proj = await linear(load, `${at}attn.proj`, c.hidden, c.hidden);
  return (pass, x, places) => {
    const packed = op.linear(pass, op.layerNorm(pass, x, norm, eps), qkv.W, { bias: qkv.bias });
    const mixed = op.visionAttention(pass, op.visionRope(pass, packed, c, places), c);
    return op.linear(pass, mixed, proj.W, { bias: proj.bias, add: x });
  };
}

/** x + fc2(gelu(fc1(norm(x)))) */
async function twoLayers(
  load: Loader,
  c: VisionConfig,
  at: string,
): Promise<(pass: Pass, x: Tensor) => Tensor> {
  const norm = await layerNorm(load, `${at}norm2`, c.hidden);
  const fc1 = await linear(load, `${at}mlp.linear_fc1`, c.intermediate, c.hidden);
  const fc2 = await linear(load, `${at}mlp.linear_fc2`, c.hidden, c.intermediate);
  return (pass, x) => {
    const normed = op.layerNorm(pass, x, norm, eps);
    const u = op.linear(pass, normed, fc1.W, { bias: fc1.bias, activation: "gelu_tanh" });
    return op.linear(pass, u, fc2.W, { bias: fc2.bias, add: x });
  };
}

async function linear(
  load: Loader,
  name: string,
  rows: number,
  K: number,
): Promise<{ W: Weight; bias: Tensor }> {
  const W = await load.matrix([{ name: `${name}.weight`, rows }], K);
  return { W, bias: await load.vector(`${name}.bias`, [rows]) };
}

/** Scales and shifts end to end, [2C]. */
function layerNorm(load: Loader, name: string, C: number): Promise<Tensor> {
  return load.vectors([
    { name: `${name}.weight`, rows: C },
    { name: `${name}.bias`, rows: C },
  ]);
}
