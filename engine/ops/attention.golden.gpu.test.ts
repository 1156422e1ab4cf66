// A whole attention layer short of its last projection, from the reference's normed input to its o_proj_in: the packed
// projection on the host in f64, the rest in our kernels, in one run and token by token; and through matrices, emulated.
import { basename } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { fromPages, pagingOf, toPages, withTensors } from "../../test-fixtures/attention.ts";
import { caseNames, loadGolden, referenceFolders, type Golden } from "../../test-fixtures/golden.ts";
import { relative } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { emulating, withMatrices } from "../../test-fixtures/matrices.ts";
import { runOps } from "../../test-fixtures/run.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { ropeTable } from "../models/rope.ts";
import { attend } from "./attend.ts";
import { packedWidth } from "./attention.ts";
import { PAGE } from "./kv-cache.ts";
import { prepareQkv, type QkvOptions } from "./qkv.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

const brief = process.env["NEURON_TEST_BRIEF"] !== undefined;
const families = /^(llama|qwen2|qwen3|qwen3_5)3?-/;
const cases = referenceFolders()
  .filter((folder) => families.test(basename(folder)))
  .flatMap((folder) =>
    caseNames(folder).map((name) => ({ name, folder, label: `${basename(folder)} ${name}` })),
  )
  .map((entry) => ({ ...entry, golden: loadGolden(entry.folder, entry.name) }))
  .map((entry) => ({ ...entry, layers: layersOf(entry.golden) }))
  .filter(({ layers }) => layers.length > 0);

function layersOf({ tensors }: Golden): number[] {
  const layers = [...tensors.keys()].flatMap((key) => /^layer\.(\d+)\.attn\.o_proj_in$/.exec(key)?.[1] ?? []);
  return layers.map(Number).filter((i) => tensors.has(`layer.${i}.input_norm`));
}

/** Everything that a layer's runs share, in host memory. */
interface Layer {
  c: ModelConfig;
  T: number;
  qkv: Float32Array;
  positions: Uint32Array;
  table: Float32Array;
  /** Of queries, then of keys. */
  norms: Float32Array | undefined;
}

async function layerOf(checkpoint: Checkpoint, golden: Golden, i: number): Promise<Layer> {
  const c = parseConfig(checkpoint.config, checkpoint.configFile);
  const own = `${c.prefix}layers.${i}.self_attn.`;
  const x = golden.tensors.get(`layer.${i}.input_norm`)!;
  const T = x.shape[0]!;
  const projected = await Promise.all(
    ["q_proj", "k_proj", "v_proj"].map(async (name) => {
      const W = await checkpoint.readF32(`${own}${name}.weight`);
      const bias = c.attention.bias.qkv ? await checkpoint.readF32(`${own}${name}.bias`) : undefined;
      return linear(x.data as Float32Array, W, bias, c.hidden);
    }),
  );
  const norm = async (name: string) => [...(await checkpoint.readF32(`${own}${name}.weight`))];
  const ids = golden.tensors.get("position_ids")!;
  const positions = Uint32Array.from(
    ids.shape.length === 1 ? [...ids.data, ...ids.data, ...ids.data] : ids.data,
  );
  return {
    ...{ c, T, positions, qkv: packed(projected, T), table: ropeTable(c, 64) },
    norms: c.attention.qkNorm
      ? Float32Array.from([...(await norm("q_norm")), ...(await norm("k_norm"))])
      : undefined,
  };
}

function linear(x: Float32Array, W: Float32Array, bias: Float32Array | undefined, K: number): number[][] {
  return Array.from({ length: x.length / K }, (_, t) =>
    Array.from({ length: W.length / K }, (_, n) => {
      let sum = bias?.[n] ?? 0;
      for (let k = 0; k < K; k++) sum += x[t * K + k]! * W[n * K + k]!;
      return sum;
    }),
  );
}

function packed(parts: number[][][], T: number): Float32Array {
  return Float32Array.from(Array.from({ length: T }, (_, t) => parts.flatMap((part) => part[t]!)).flat());
}

interface Result {
  y: Float32Array;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

const capacity = 64; // of the cache

interface How {
  /** Leaves rope out, so that q and K are the norms' outputs. */
  unturned?: boolean;
  /** Prompts go through matrices, emulated. */
  matrices?: boolean;
}

/** Runs the tokens in the given pieces. */
async function run(layer: Layer, pieces: readonly number[], how: How = {}): Promise<Result> {
  const { unturned = false, matrices = false } = how;
  const { c, T } = layer;
  const { heads, kvHeads, headDim, rope } = c;
  const still = layer.table.map((_, i) => (i % 2 ? 0 : 1));
  const paging = pagingOf(1, capacity);
  const empty = new Float32Array(kvHeads * capacity * headDim).fill(NaN);
  const cache = [[paging.pages, kvHeads, PAGE, headDim], toPages(empty, paging, kvHeads, headDim)] as const;
  const permanent = {
    table: [[64, rope.dims / 2, 2], unturned ? still : layer.table],
    k: cache,
    v: cache,
    pages: [[1, paging.pages - 1], paging.table],
    norms: [[2 * headDim], layer.norms ?? new Float32Array(2 * headDim)],
  } as const;
  return withTensors(gpu, permanent, async (on) => {
    const result = { y: new Float32Array(T * heads * headDim), q: new Float32Array(T * heads * headDim) };
    let last: Pick<Result, "k" | "v"> = { k: new Float32Array(), v: new Float32Array() };
    let past = 0;
    for (const tokens of pieces) {
      const made = await runPiece(layer, on, past, tokens, matrices);
      result.y.set(made.y, past * heads * headDim);
      result.q.set(made.q, past * heads * headDim); // of several tokens
      const flat = (values: Float32Array) => fromPages(values, paging, kvHeads, headDim);
      last = { k: flat(made.k), v: flat(made.v) };
      past += tokens;
    }
    expect(past).toBe(T);
    return { ...result, ...last };
  });
}

async function runPiece(
  layer: Layer,
  on: Record<string, Tensor>,
  past: number,
  tokens: number,
  matrices: boolean,
): Promise<Result> {
  const { c, T, qkv, positions } = layer;
  const { heads, kvHeads, headDim } = c;
  const gate = c.attention.outputGate;
  const width = packedWidth(c, gate);
  const rows = [0, 1, 2].flatMap((axis) => [
    ...positions.subarray(axis * T + past, axis * T + past + tokens),
  ]);
  const data = {
    qkv: [[tokens, width], qkv.slice(past * width, (past + tokens) * width)],
    positions: [[3, tokens], Uint32Array.from(rows)],
  } as const;
  return withTensors(gpu, data, async (given) => {
    const cache = { format: "f32" as const, k: on["k"]!, v: on["v"]!, table: on["pages"]! };
    const shape = { heads, kvHeads, headDim };
    const used: string[] = [];
    const card = withMatrices(gpu, "16x16x16", "matrices 16x16x16, 32 rows");
    const values = await runOps(matrices ? card : gpu, { capacity: tokens, past }, (pass) => {
      const options: QkvOptions = {
        ...{ ...shape, gate, eps: c.eps, normOffset: c.normOffset, cache },
        ...(layer.norms ? { norms: on["norms"]! } : {}),
        rope: {
          ...{ table: on["table"]!, dims: c.rope.dims },
          ...(c.rope.mropeSection ? { sections: c.rope.mropeSection } : {}),
        },
        positions: given["positions"]!,
      };
      const y = attend(matrices ? emulating(pass, used) : pass, given["qkv"]!, options);
      const q = tokens > 1 ? prepareQkv(pass, given["qkv"]!, options) : y; // which writes the cache, too
      return [y, q, cache.k, cache.v];
    });
    expect(used.includes("attention_matrix")).toBe(matrices);
    const [y, q, k, v] = values as Float32Array[];
    return { y: y!, q: q!, k: k!, v: v! };
  });
}

/** [Nkv, capacity, D] → [Nkv, T, D] */
function filled(cache: Float32Array, T: number, headDim: number): Float32Array {
  return cache.filter((_, i) => Math.floor(i / headDim) % capacity < T);
}

test("there are goldens of every family", () => {
  expect(new Set(cases.map(({ label }) => families.exec(label)![1])).size).toBe(4);
});

describe.each(cases)("$label", ({ folder, golden, layers }) => {
  test.each(layers)("layer %d", async (i) => {
    const checkpoint = await openCheckpoint(folder);
    const layer = await layerOf(checkpoint, golden, i).finally(() => checkpoint.close());
    const { T } = layer;
    const at = (name: string) => golden.tensors.get(name)?.data as Float32Array | undefined;
    for (const pieces of [[T], [2, T - 2], new Array<number>(T).fill(1)]) {
      const got = await run(layer, pieces);
      expectClose(got.y, at(`layer.${i}.attn.o_proj_in`)!, 2e-5, `o_proj_in in ${pieces.length} runs`);
      const [k, v] = [at(`cache.${i}.k`), at(`cache.${i}.v`)];
      if (k) expectClose(filled(got.k, T, layer.c.headDim), k, 2e-5, "cache.k");
      if (v) expectClose(filled(got.v, T, layer.c.headDim), v, 2e-5, "cache.v");
    }
    const qNorm = at(`layer.${i}.attn.q_norm_out`);
    if (qNorm) expectClose((await run(layer, [T], { unturned: true })).q, qNorm, 2e-5, "q_norm_out");
  });

  const some = brief ? [] : layers.slice(0, 1); // a software adapter compiles for seconds
  test.each(some)("layer %d through matrices", async (i) => {
    const checkpoint = await openCheckpoint(folder);
    const layer = await layerOf(checkpoint, golden, i).finally(() => checkpoint.close());
    const want = golden.tensors.get(`layer.${i}.attn.o_proj_in`)!.data as Float32Array;
    const { y } = await run(layer, [2, layer.T - 2], { matrices: true });
    expectClose(y, want, 5e-3, "o_proj_in");
    expect(relative(y, want)).toBeLessThan(1e-3);
    const still = await run(layer, [2, layer.T - 2], { matrices: true, unturned: true });
    expect(relative(still.y, want), "without rope").toBeGreaterThan(1e-2);
  });
});
