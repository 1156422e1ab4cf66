// A model of Qwen3's shape as the ONNX graph that exporters make of it for ONNX Runtime and transformers.js: 4-bit
// matrices (MatMulNBits), grouped attention with the rotary embedding in it, sums fused with the norms behind them.
// Activations and KV are f32, as in their "q4"; the embedding table is f16. The head sees the last token alone.
import type { ModelConfig } from "../../../engine/models/config.ts";
import { GraphBuilder } from "./graph.ts";

const microsoft = "com.microsoft";
const positions = 1024;

/** [1, T] ids to [1, 1, vocab] logits. Errors: a model with layers that ONNX Runtime has no operator for. */
export function qwen3Graph(c: ModelConfig): GraphBuilder {
  if (c.delta) throw new Error("ONNX Runtime has no operator for delta nets: a shape with attention alone");
  const graph = new GraphBuilder();
  graph.inputs.push(
    { name: "input_ids", type: "i64", shape: [1, "tokens"] },
    { name: "seqlens_k", type: "i32", shape: [1] },
    { name: "total_sequence_length", type: "i32", shape: [1] },
  );
  const half = c.headDim / 2;
  const tables = [
    graph.weight("cos", "f32", [positions, half]),
    graph.weight("sin", "f32", [positions, half]),
  ];
  const embedding = graph.weight("embed_tokens", "f16", [c.vocab, c.hidden]);
  let x = graph.add("Cast", [graph.add("Gather", [embedding, "input_ids"])], { ints: { to: 1 } });
  let normed = norm(graph, c, x, "layers.0.input_layernorm", c.hidden);
  for (let layer = 0; layer < c.layers; layer += 1) {
    const at = `layers.${layer}`;
    const mixed = attention(graph, c, normed, layer, tables);
    const middle = addAndNorm(graph, c, x, mixed, `${at}.post_attention_layernorm`);
    const last = layer + 1 === c.layers;
    const next = last ? "norm" : `layers.${layer + 1}.input_layernorm`;
    ({ x, normed } = addAndNorm(graph, c, middle.x, mlp(graph, c, middle.normed, at), next));
  }
  const last = graph.add("Gather", [normed, graph.constant(-1)], { ints: { axis: 1 } });
  const logits = graph.matmul(last, "lm_head", [c.vocab, c.hidden], "q4");
  graph.outputs.push({ name: logits, type: "f32", shape: [1, 1, c.vocab] });
  return graph;
}

/** softmax(q kᵀ / √D) v, o-projected; the cache grows from past to present. */
function attention(
  graph: GraphBuilder,
  c: ModelConfig,
  x: string,
  layer: number,
  tables: readonly string[],
): string {
  const at = `layers.${layer}.self_attn`;
  const project = (name: string, heads: number) =>
    graph.matmul(x, `${at}.${name}_proj`, [heads * c.headDim, c.hidden], "q4");
  const heads = (name: string, count: number) => {
    const split = graph.add("Reshape", [project(name, count), graph.constant(0, 0, count, c.headDim)]);
    const normed = norm(graph, c, split, `${at}.${name}_norm`, c.headDim);
    return graph.add("Reshape", [normed, graph.constant(0, 0, count * c.headDim)]);
  };
  const past = ["key", "value"].map((kind) => `past_key_values.${layer}.${kind}`);
  const present = ["key", "value"].map((kind) => `present.${layer}.${kind}`);
  for (const [names, length, list] of [
    [past, "past", graph.inputs],
    [present, "present", graph.outputs],
  ] as const)
    for (const name of names) list.push({ name, type: "f32", shape: [1, c.kvHeads, length, c.headDim] });
  const qkv = [heads("q", c.heads), heads("k", c.kvHeads), project("v", c.kvHeads)];
  const output = graph.add(
    "GroupQueryAttention",
    [...qkv, ...past, "seqlens_k", "total_sequence_length", ...tables],
    {
      domain: microsoft,
      outputs: [graph.name("attention"), ...present],
      ints: { num_heads: c.heads, kv_num_heads: c.kvHeads, do_rotary: 1 },
      floats: { scale: 1 / Math.sqrt(c.headDim) },
    },
  );
  return graph.matmul(output, `${at}.o_proj`, [c.hidden, c.heads * c.headDim], "q4");
}

/** silu(gate) · up, projected down. */
function mlp(graph: GraphBuilder, c: ModelConfig, x: string, at: string): string {
  const wide = [c.intermediate, c.hidden] as const;
  const gate = graph.matmul(x, `${at}.gate_proj`, wide, "q4");
  const up = graph.matmul(x, `${at}.up_proj`, wide, "q4");
  const silu = graph.add("Mul", [gate, graph.add("Sigmoid", [gate])]);
  return graph.matmul(graph.add("Mul", [silu, up]), `${at}.down_proj`, [c.hidden, c.intermediate], "q4");
}

function norm(graph: GraphBuilder, c: ModelConfig, x: string, name: string, size: number): string {
  const weight = graph.weight(name, "f32", [size]);
  return graph.add("SimplifiedLayerNormalization", [x, weight], {
    ints: { axis: -1, stash_type: 1 },
    floats: { epsilon: c.eps },
  });
}

/** The sum, which the residual stream keeps, and its norm. */
function addAndNorm(graph: GraphBuilder, c: ModelConfig, x: string, change: string, name: string) {
  const sum = graph.name("sum");
  const normed = graph.add(
    "SkipSimplifiedLayerNormalization",
    [x, change, graph.weight(name, "f32", [c.hidden])],
    { domain: microsoft, outputs: [graph.name("normed"), "", "", sum], floats: { epsilon: c.eps } },
  );
  return { x: sum, normed };
}
