// The parts that our decoder-only families share. Each takes the loader and the layer's prefix in the checkpoint,
// binds its weights and returns a block: x [T, C] → x + f(norm(x)) [T, C].
import * as op from "../ops/index.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Tensor, Weight } from "../gpu/tensor.ts";
import { rowsOf } from "../gpu/weight.ts";
import { headRows, type ModelConfig } from "./config.ts";
import type { Loader } from "./loader.ts";
import { expertsMlp } from "./experts.ts";
import { keptName, normOf } from "./layer.ts";
import type { Block, Inputs, LayerMemory, Memory, Network } from "./network.ts";

/** Grouped-query attention with rotary positions; with bias, q/k norms or an output gate where the family has them. */
export async function attention(load: Loader, c: ModelConfig, at: string): Promise<Block> {
  const { heads, kvHeads, headDim, hidden } = c;
  const { bias, qkNorm, outputGate } = c.attention;
  const norm = await load.vector(`${at}input_layernorm.weight`, [hidden]);
  const parts = [
    { name: `${at}self_attn.q_proj`, rows: heads * headDim * (outputGate ? 2 : 1) },
    { name: `${at}self_attn.k_proj`, rows: kvHeads * headDim },
    { name: `${at}self_attn.v_proj`, rows: kvHeads * headDim },
  ];
  const Wqkv = await load.matrix(named(parts, "weight"), hidden);
  const qkvBias = bias.qkv ? await load.vectors(named(parts, "bias")) : undefined;
  const Wo = await load.matrix([{ name: `${at}self_attn.o_proj.weight`, rows: hidden }], heads * headDim);
  const oBias = bias.o ? await load.vector(`${at}self_attn.o_proj.bias`, [hidden]) : undefined;
  const norms = qkNorm ? await headNorms(load, `${at}self_attn.`, headDim) : undefined;

  return (pass, x, memory, { positions, ropeTable }) => {
    const u = op.normLinear(pass, x, norm, normOf(c), Wqkv, given({ bias: qkvBias }));
    const mixed = op.attend(pass, u, {
      heads,
      kvHeads,
      headDim,
      gate: outputGate,
      ...given({ norms }),
      eps: c.eps,
      normOffset: c.normOffset,
      rope: { table: ropeTable, dims: c.rope.dims, ...given({ sections: c.rope.mropeSection }) },
      positions,
      cache: cacheOf(memory),
    });
    pass.keep(`${keptName(at)}.attn.o_proj_in`, mixed);
    return backToStream(pass, mixed, Wo, x, oBias);
  };
}

/** Of queries, then of keys: one tensor, since the kernel that takes it has no binding to spare. */
async function headNorms(load: Loader, own: string, headDim: number): Promise<Tensor> {
  const parts = ["q_norm", "k_norm"].map((name) => ({ name: `${own}${name}.weight`, rows: headDim }));
  for (const { name } of parts) load.checkpoint.expectTensor(name, [headDim]);
  return load.vectors(parts);
}

/** down(silu(gate(x)) · up(x)) */
async function swigluMlp(load: Loader, c: ModelConfig, at: string): Promise<Block> {
  const norm = await load.vector(`${at}post_attention_layernorm.weight`, [c.hidden]);
  const gate = { name: `${at}mlp.gate_proj.weight`, rows: c.intermediate };
  const up = { name: `${at}mlp.up_proj.weight`, rows: c.intermediate };
  const WgateUp = await load.interleaved(gate, up, c.hidden);
  const Wdown = await load.matrix([{ name: `${at}mlp.down_proj.weight`, rows: c.hidden }], c.intermediate);
  return (pass, x) => backToStream(pass, op.normSwiglu(pass, x, norm, normOf(c), WgateUp), Wdown, x);
}

/**
 * x + y · Wᵀ (+ bias).   y: [T, K], of which each device that shares the model has its own columns, as of W [C, K]
 * The first device's part carries x and the bias, so that their sum is all there is to add.
 */
export function backToStream(pass: Pass, y: Tensor, W: Weight, x: Tensor, bias?: Tensor): Tensor {
  return pass.sum(op.linear(pass, y, W, pass.rank === 0 ? { add: x, ...given({ bias }) } : {}));
}

/** Embedding, layers of (mixer, MLP), final norm and head; or, of a model whose layers are divided, what a stage has. */
export async function decoder(
  load: Loader,
  c: ModelConfig,
  mixer: (load: Loader, at: string, layer: number) => Promise<Block>,
): Promise<Network> {
  const { number, stages, firstLayer } = c.stage ?? { number: 0, stages: 1, firstLayer: 0 };
  const ends = number === 0 ? await loadEnds(load, c) : undefined;
  const layers: Block[] = [];
  for (let i = 0; i < c.layers; i += 1) {
    const at = `${c.prefix}layers.${firstLayer + i}.`;
    const mix = await mixer(load, at, i);
    const mlp = c.experts?.layers[i] ? expertsMlp(load, c, c.experts, at) : swigluMlp(load, c, at);
    layers.push(chain(mix, await mlp));
  }
  return {
    embeds: ends !== undefined,
    body(pass, inputs, memory) {
      const x = ends ? embedded(pass, inputs, ends.embedding) : received(pass, c, number - 1);
      const y = through(pass, x, layers, inputs, memory, firstLayer);
      if (number < stages - 1) pass.send(y, number + 1);
      return y;
    },
    head(pass, x) {
      if (stages > 1 && number === stages - 1) pass.send(x, 0);
      return ends?.head(pass, stages > 1 ? received(pass, c, stages - 1) : x);
    },
  };
}

/** What is before the layers, and behind them. */
interface Ends {
  readonly embedding: Weight;
  head(pass: Pass, x: Tensor): Tensor;
}

async function loadEnds(load: Loader, c: ModelConfig): Promise<Ends> {
  const { from, to } = headRows(c);
  const tied = c.tied && !c.pooling;
  const embedding = await loadEmbedding(load, c, tied ? [from, to] : []);
  const norm = await load.vector(`${c.prefix}norm.weight`, [c.hidden]);
  // An embedding is what the head would read.
  if (c.pooling) return { embedding, head: (pass, x) => normed(pass, x, norm, c) };
  const head = tied
    ? rowsOf(embedding, from, to)
    : await load.matrix([{ name: "lm_head.weight", rows: to - from }], c.hidden);
  return { embedding, head: (pass, x) => op.linear(pass, normed(pass, x, norm, c), head) };
}

/** In shards that end at these rows, so that those between can be multiplied by themselves. */
async function loadEmbedding(load: Loader, c: ModelConfig, borders: readonly number[]): Promise<Weight> {
  const name = `${c.prefix}embed_tokens.weight`;
  const ends = [...new Set([...borders, c.vocab])].filter((end) => end > 0);
  const parts = ends.map((end, i) => {
    const first = ends[i - 1] ?? 0;
    return { name, first, rows: end - first, shape: [c.vocab, c.hidden] };
  });
  return load.matrix(parts, c.hidden, { apart: true });
}

function embedded(pass: Pass, { ids, drawn, positions, pictures }: Inputs, embedding: Weight): Tensor {
  const x = op.embed(pass, ids, embedding, drawn && { drawn, positions });
  return pass.keep("hidden.embed", pictures ? op.placePictures(pass, x, pictures.rows, pictures.chosen) : x);
}

function received(pass: Pass, { hidden }: ModelConfig, from: number): Tensor {
  return pass.receive(pass.scratch([pass.capacity, hidden], "stream"), from);
}

function through(
  pass: Pass,
  x: Tensor,
  layers: readonly Block[],
  inputs: Inputs,
  memory: Memory,
  firstLayer: number,
): Tensor {
  return layers.reduce((stream, layer, i) => {
    return pass.keep(`hidden.layer.${firstLayer + i}`, layer(pass, stream, memory.layers[i]!, inputs));
  }, x);
}

function normed(pass: Pass, x: Tensor, norm: Tensor, c: ModelConfig): Tensor {
  return pass.keep("hidden.final_norm", op.rmsNorm(pass, x, norm, normOf(c)));
}

function chain(first: Block, second: Block): Block {
  return (pass, x, memory, inputs) => second(pass, first(pass, x, memory, inputs), memory, inputs);
}

/** Drops absent options: an option is given or it is not there. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

function named(parts: readonly { name: string; rows: number }[], kind: "weight" | "bias") {
  return parts.map(({ name, rows }) => ({ name: `${name}.${kind}`, rows }));
}

function cacheOf(memory: LayerMemory) {
  if (memory.kind !== "attention") throw new Error("an attention layer was given a delta state");
  return memory.cache;
}
