// The first layer's delta net on the reference's prompts, from the token ids on: embedding, norm and projection on the
// host in f64, the rest by twin and kernels; in one run, in uneven pieces, and on through the decoded tokens.
import { basename } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { DeltaLayer, type DeltaInputs } from "../../test-fixtures/delta.ts";
import { caseNames, loadGolden, referenceFolders, type Golden } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { emulating, withMatrices } from "../../test-fixtures/matrices.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { parseConfig } from "../models/config.ts";
import * as reference from "../reference/delta.ts";
import { deltaRule, deltaWidths } from "./delta.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

const stored = /^(layer\.0\.gdn\.|cache\.0\.(conv|delta)_state$)/;
const cases = referenceFolders()
  .filter((folder) => basename(folder) === "qwen3_5-tiny-text")
  .flatMap((folder) => caseNames(folder).map((name) => ({ folder, name })))
  .map((entry) => ({ ...entry, golden: loadGolden(entry.folder, entry.name) }))
  .filter(({ golden }) => [...golden.tensors.keys()].some((key) => stored.test(key)));

/** y = x · Wᵀ in f64.   x: [T, K]   W: [N, K] */
function linear(x: Float64Array, W: Float32Array, K: number): Float64Array {
  const [T, N] = [x.length / K, W.length / K];
  const y = new Float64Array(T * N);
  for (let t = 0; t < T; t++) {
    for (let n = 0; n < N; n++) {
      for (let i = 0; i < K; i++) y[t * N + n]! += x[t * K + i]! * W[n * K + i]!;
    }
  }
  return y;
}

/** What the first layer's delta net is given for these tokens. */
async function inputsFor(folder: string, ids: readonly number[]): Promise<DeltaInputs & { x: Float64Array }> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const c = parseConfig(checkpoint.config, checkpoint.configFile);
    const read = (name: string) => checkpoint.readF32(`${c.prefix}${name}`);
    const own = (name: string) => read(`layers.0.linear_attn.${name}`);
    const embedding = await read("embed_tokens.weight");
    const norm = await read("layers.0.input_layernorm.weight");
    const x = Float64Array.from(ids.flatMap((id) => normed(embedding, id, norm, c.eps)));
    const projections = ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"];
    const weights = await Promise.all(projections.map((name) => own(`${name}.weight`)));
    const packed = Float32Array.from(weights.flatMap((W) => [...W]));
    return {
      x,
      config: c.delta!,
      u: Float32Array.from(linear(x, packed, c.hidden)),
      weights: {
        convWeight: await own("conv1d.weight"),
        A_log: await own("A_log"),
        dt_bias: await own("dt_bias"),
        norm: await own("norm.weight"),
        eps: c.eps,
      },
    };
  } finally {
    await checkpoint.close();
  }
}

function normed(embedding: Float32Array, id: number, w: Float32Array, eps: number): number[] {
  const row = embedding.subarray(id * w.length, (id + 1) * w.length);
  const scale = 1 / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / w.length + eps);
  return Array.from(row, (value, i) => value * scale * (1 + w[i]!));
}

/** The last three columns of `conv_state` [C, 4], as [3, C]. */
function lastThree(golden: ArrayLike<number>): number[] {
  const C = golden.length / 4;
  return Array.from({ length: 3 * C }, (_, i) => golden[(i % C) * 4 + 1 + Math.floor(i / C)]!);
}

function expectGolden(golden: Golden, name: string, got: ArrayLike<number>, tolerance: number): void {
  const want = golden.tensors.get(name);
  if (!want) return;
  expectClose(got, name.endsWith("conv_state") ? lastThree(want.data) : want.data, tolerance, name);
}

describe.each(cases)("$name in $folder", ({ folder, golden }) => {
  const ids = golden.inputs.input_ids;

  test("the twin", async () => {
    const { x, u, weights, config } = await inputsFor(folder, ids);
    const state = reference.deltaTwinState(config);
    const { qkv, heads, coreOut, y } = reference.deltaRule(u, weights, config, state);
    expectGolden(golden, "layer.0.input_norm", x, 1e-5);
    expectGolden(golden, "layer.0.gdn.core_out", coreOut, 1e-5);
    expectGolden(golden, "layer.0.gdn.out_proj_in", y, 1e-4);
    expectGolden(golden, "cache.0.delta_state", state.S, 1e-5);
    expectGolden(golden, "cache.0.conv_state", state.window, 1e-5);
    const byToken = (of: (head: reference.DeltaHead, t: number) => number) =>
      ids.flatMap((_, t) => heads.map((head) => of(head, t)));
    expectGolden(
      golden,
      "layer.0.gdn.g",
      byToken((head, t) => head.g[t]!),
      1e-5,
    );
    expectGolden(
      golden,
      "layer.0.gdn.beta",
      byToken((head, t) => head.beta[t]!),
      1e-5,
    );
    const { keyHeads, valueHeads, keyDim, valueDim } = config;
    const C = deltaWidths(config).channels;
    const heads4 = (first: number, width: number, repeat: number) =>
      ids.flatMap((_, t) =>
        Array.from({ length: valueHeads }, (_, h) => t * C + first + Math.floor(h / repeat) * width).flatMap(
          (at) => [...qkv.subarray(at, at + width)],
        ),
      );
    const repeat = valueHeads / keyHeads;
    expectGolden(golden, "layer.0.gdn.q", heads4(0, keyDim, repeat), 1e-5);
    expectGolden(golden, "layer.0.gdn.k", heads4(keyHeads * keyDim, keyDim, repeat), 1e-5);
    expectGolden(golden, "layer.0.gdn.v", heads4(2 * keyHeads * keyDim, valueDim, 1), 1e-5);
  });

  test.each([
    ["in one run", [ids.length]],
    ["in uneven pieces", pieces(ids.length)],
  ])("the kernels, %s", async (_, splits) => {
    const layer = new DeltaLayer(gpu, await inputsFor(folder, ids));
    const y = await layer.runAll(splits);
    expectGolden(golden, "layer.0.gdn.out_proj_in", y, 1e-4);
    expectGolden(golden, "cache.0.delta_state", await layer.readS(), 1e-4);
    expectGolden(golden, "cache.0.conv_state", await layer.readWindow(), 1e-4);
    layer.destroy();
  });

  // SwiftShader takes long for it, where it is not alone.
  test.skipIf(process.env["NEURON_TEST_BRIEF"])("the kernels by matrices, emulated", async ({ skip }) => {
    skip(gpu.subgroupSize.max < 8, "four lanes have no room for their part of S");
    const used: string[] = [];
    const card = withMatrices(gpu, "16x16x16", "matrices 16x16x16, 16 columns");
    const layer = new DeltaLayer(card, await inputsFor(folder, ids), (pass, ...given) =>
      deltaRule(emulating(pass, used), ...given),
    );
    const y = await layer.runAll(pieces(ids.length));
    if (ids.length > 3) expect(used).toContain("delta_scan_matrix");
    expectGolden(golden, "layer.0.gdn.out_proj_in", y, 2e-3);
    expectGolden(golden, "cache.0.delta_state", await layer.readS(), 1e-3);
    layer.destroy();
  });

  const decoded = golden.tensors.has("after_decode.cache.0.conv_state");
  test.runIf(decoded)("the kernels, through the decoded tokens", async () => {
    const fed = golden.inputs.greedy_ids.slice(0, -1); // the last one drawn is not fed
    const layer = new DeltaLayer(gpu, await inputsFor(folder, [...ids, ...fed]));
    await layer.runAll([ids.length, ...fed.map(() => 1)]);
    expectGolden(golden, "after_decode.cache.0.conv_state", await layer.readWindow(), 1e-4);
    layer.destroy();
  });
});

/** 3, 70, 1, 9, 70, 1, 9, … that make T. */
function pieces(T: number): number[] {
  const out = [Math.min(3, T)];
  for (let left = T - out[0]!, i = 0; left > 0; left -= out.at(-1)!, i++)
    out.push(Math.min([70, 1, 9][i % 3]!, left));
  return out;
}

test("there is a case with every intermediate", () => {
  const kept = cases.map(({ golden }) => [...golden.tensors.keys()].filter((key) => stored.test(key)).length);
  expect(Math.max(...kept)).toBeGreaterThanOrEqual(7);
});
