// The dense ops and their twins against what another implementation computed with the same checkpoints: embedding,
// norms of both kinds, a whole MLP with its residual, and the head, all tokens at once and the last one alone.
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadGolden } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { permanent, type Tensor, type Weight } from "../gpu/tensor.ts";
import * as embedTwin from "../reference/embed.ts";
import * as linearTwin from "../reference/linear.ts";
import * as normTwin from "../reference/norm.ts";
import { packageRoot } from "../root.ts";
import { embed } from "./embed.ts";
import { linear, normSwiglu } from "./linear.ts";
import { rmsNorm, type NormOptions } from "./norm.ts";
import { lastRow } from "./rows.ts";

const gpu = await testGpu();

interface Model {
  checkpoint: Checkpoint;
  sizes: { N: number; C: number; I: number };
  norm: NormOptions;
  head: string;
}

async function open(folder: string, offset: 0 | 1, head: string): Promise<Model> {
  const checkpoint = await openCheckpoint(folder);
  const { vocab_size, hidden_size, intermediate_size, rms_norm_eps } = checkpoint.config as Record<
    string,
    number
  >;
  const sizes = { N: vocab_size!, C: hidden_size!, I: intermediate_size! };
  return { checkpoint, sizes, norm: { eps: rms_norm_eps!, offset }, head };
}

const mlp = "model.layers.0.mlp.";

/** Gate and up rows, one of each in turn, as the loader packs them. */
async function gateUp({ checkpoint, sizes: { C, I } }: Model): Promise<Uint8Array<ArrayBuffer>> {
  const gate = await checkpoint.read(`${mlp}gate_proj.weight`);
  const up = await checkpoint.read(`${mlp}up_proj.weight`);
  const bytes = new Uint8Array(gate.length + up.length);
  for (let i = 0; i < I; i++) {
    bytes.set(gate.subarray(i * C * 2, (i + 1) * C * 2), 2 * i * C * 2);
    bytes.set(up.subarray(i * C * 2, (i + 1) * C * 2), (2 * i + 1) * C * 2);
  }
  return bytes;
}

interface Bound {
  table: Weight;
  gateUp: Weight;
  down: Weight;
  head: Weight;
  inputNorm: Tensor;
  mlpNorm: Tensor;
}

async function bind(model: Model): Promise<Bound> {
  const { checkpoint, sizes, head } = model;
  const { N, C, I } = sizes;
  const vector = async (name: string) =>
    permanent(gpu, name, [C], await checkpoint.readF32(`model.layers.0.${name}.weight`));
  return {
    table: weightOf(gpu, [N, C], "bf16", await checkpoint.read("model.embed_tokens.weight")),
    gateUp: weightOf(gpu, [2 * I, C], "bf16", await gateUp(model)),
    down: weightOf(gpu, [C, I], "bf16", await checkpoint.read(`${mlp}down_proj.weight`)),
    head: weightOf(gpu, [N, C], "bf16", await checkpoint.read(head)),
    inputNorm: await vector("input_layernorm"),
    mlpNorm: await vector("post_attention_layernorm"),
  };
}

const cases = [
  ["qwen3-tiny-tied", "text_9", 0, "model.embed_tokens.weight"],
  ["qwen3_5-tiny-text", "text_7", 1, "lm_head.weight"],
] as const;

describe.each(cases)("%s", async (name, caseName, offset, headName) => {
  const folder = join(packageRoot, "test-fixtures", "reference", name);
  const { inputs, tensors } = loadGolden(folder, caseName);
  const golden = (key: string) => tensors.get(key)!.data as Float32Array<ArrayBuffer>;
  const ids = Uint32Array.from(inputs.input_ids);
  const T = ids.length;
  const model = await open(folder, offset, headName);
  const { N, C } = model.sizes;
  const w = await bind(model);
  const stream = golden("hidden.embed").map((value, i) => value + golden("layer.0.mixer_out")[i]!);
  const tail = (values: Float32Array<ArrayBuffer>) => values.slice(-values.length / T);

  test("embedding and input norm", async () => {
    const given = permanent(gpu, "ids", [T], ids);
    const [x, normed] = await runOps(gpu, { capacity: T }, (pass) => {
      const x = embed(pass, given, w.table);
      return [x, rmsNorm(pass, x, w.inputNorm, model.norm)];
    });
    expect(Array.from(x!)).toEqual(Array.from(golden("hidden.embed")));
    expectClose(normed!, golden("layer.0.input_norm"), 3e-6);
    const table = await model.checkpoint.readF32("model.embed_tokens.weight");
    const twin = embedTwin.embed(ids, table, N, C);
    expect(Array.from(twin)).toEqual(Array.from(golden("hidden.embed")));
    const weight = await model.checkpoint.readF32("model.layers.0.input_layernorm.weight");
    const normedTwin = normTwin.rmsNorm(twin, weight, { T, C, ...model.norm });
    expectClose(normedTwin, golden("layer.0.input_norm"), 3e-6);
  });

  test("the first layer's MLP and its residual", async () => {
    const run = async (x: Float32Array<ArrayBuffer>, rows: number, norm: NormOptions) => {
      const xs = permanent(gpu, "x", [rows, C], x);
      const [y] = await runOps(gpu, { capacity: rows }, (pass) => [
        linear(pass, normSwiglu(pass, xs, w.mlpNorm, norm, w.gateUp), w.down, { add: xs }),
      ]);
      return y!;
    };
    expectClose(await run(stream, T, model.norm), golden("hidden.layer.0"), 2e-5, "all tokens");
    expectClose(await run(tail(stream), 1, model.norm), tail(golden("hidden.layer.0")), 2e-5, "one token");
    const wrong = { eps: model.norm.eps, offset: offset === 0 ? (1 as const) : (0 as const) };
    const mistaken = await run(stream, T, wrong);
    expect(() => expectClose(mistaken, golden("hidden.layer.0"), 2e-5)).toThrow();
  });

  test("the head", async () => {
    const x = permanent(gpu, "x", [T, C], golden("hidden.final_norm"));
    const [all, last] = await runOps(gpu, { capacity: T }, (pass) => [
      linear(pass, x, w.head),
      linear(pass, lastRow(pass, x), w.head),
    ]);
    expectClose(all!, golden("logits"), 2e-5, "all tokens");
    expectClose(last!, tail(golden("logits")), 2e-5, "last token");
    const head = await model.checkpoint.readF32(headName);
    const twin = linearTwin.linear(golden("hidden.final_norm"), head, { T, K: C, N });
    expectClose(twin, golden("logits"), 2e-5, "twin");
  });
});
