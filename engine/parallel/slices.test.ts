import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { exportGguf } from "../formats/gguf/export.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { elements } from "../gpu/tensor.ts";
import { packageRoot } from "../root.ts";
import { blockOf, sharesOf, type RankShare, type Slice } from "./slices.ts";
import { sliced } from "./sliced.ts";
import { deal } from "./split.ts";

test("units are dealt in proportion, at least one each, none left over", () => {
  const sizes = (total: number, weights: number[]) =>
    deal(total, weights, "heads").map(({ from, to }) => to - from);
  expect(sizes(8, [1, 1])).toEqual([4, 4]);
  expect(sizes(9, [2, 1])).toEqual([6, 3]);
  expect(sizes(5, [1, 1, 1, 1])).toEqual([1, 2, 1, 1]);
  expect(sizes(3, [100, 1, 1])).toEqual([1, 1, 1]);
  expect(sizes(4, [1, 100])).toEqual([1, 3]);
  expect(() => deal(2, [1, 1, 1], "num_key_value_heads")).toThrow(
    "num_key_value_heads: 2 cannot be dealt to 3",
  );
});

describe.each([
  ["qwen3_5-tiny-text", [1, 1]],
  ["qwen3-tiny-tied", [1, 1]],
  ["qwen3-tiny-tied", [2, 1, 2, 1]],
  ["llama3-tiny-ropescaled", [3, 1]],
  ["qwen2-tiny-sharded", [1, 1]],
  ["qwen3_5_moe-tiny", [3, 1]],
])("%s over %j", (name, weights) => {
  let checkpoint: Checkpoint;
  let config: ModelConfig;
  let shares: RankShare[];
  beforeAll(async () => {
    checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference", name));
    config = parseConfig(checkpoint.config, checkpoint.configFile);
    shares = sharesOf(config, weights);
  });
  afterAll(() => checkpoint.close());

  test("the parts of every tensor are the tensor: no value is missing, and none is changed", async () => {
    for (const tensor of checkpoint.names) {
      const slices = shares.map((share) => share.sliceOf(tensor));
      if (!slices[0]) expect([tensor, slices.filter((slice) => slice)]).toEqual([tensor, []]);
      else await expectWhole(tensor, slices as Slice[]);
    }
  });

  async function expectWhole(tensor: string, slices: readonly Slice[]): Promise<void> {
    const whole = await checkpoint.readF32(tensor);
    const { shape } = checkpoint.entry(tensor);
    const covered = new Uint8Array(whole.length);
    for (const [rank, slice] of slices.entries()) {
      const { stack = 1 } = slice;
      const each = slice.stack ? shape[1]! : shape[0]!;
      const width = whole.length / stack / each;
      const ofOne = indices(slice.rows?.spans, each);
      const rows = Array.from({ length: stack }, (_, i) => ofOne.map((row) => i * each + row)).flat();
      const columns = indices(slice.columns?.spans, width);
      const size = [...(slice.stack ? [stack] : []), ofOne.length, columns.length];
      const part = await readPart(checkpoint, shares[rank]!, tensor, size);
      const places = rows.flatMap((row) => columns.map((column) => row * width + column));
      const expected = Float32Array.from(places, (place) => whole[place]!);
      expect(Buffer.from(part.buffer).equals(Buffer.from(expected.buffer)), `${tensor} ${rank}`).toBe(true);
      for (const place of places) covered[place]! += 1;
    }
    expect(covered.indexOf(0), tensor).toBe(-1);
  }

  test("heads and units add up to the model's", () => {
    const sum = (of: (c: ModelConfig) => number) => shares.reduce((all, share) => all + of(share.config), 0);
    expect(sum((c) => c.heads)).toBe(config.heads);
    expect(sum((c) => c.intermediate)).toBe(config.intermediate);
    expect(sum((c) => c.kvHeads)).toBe(Math.max(config.kvHeads, weights.length));
    expect(sum((c) => c.delta?.valueHeads ?? 0)).toBe(config.delta?.valueHeads ?? 0);
    expect(sum((c) => c.experts?.intermediate ?? 0)).toBe(config.experts?.intermediate ?? 0);
    expect(sum((c) => c.experts?.shared ?? 0)).toBe(config.experts?.shared ?? 0);
  });
});

/** Through `stream`, some rows at a time, from row 1 on, as a loader might; then the first row. */
async function readPart(
  checkpoint: Checkpoint,
  share: RankShare,
  name: string,
  shape: number[],
): Promise<Float32Array<ArrayBuffer>> {
  const view = sliced(checkpoint, share);
  const entry = view.entry(name);
  if (entry.shape.length === 1 || name.includes("conv1d")) return view.readF32(name);
  expect(view.expectTensor(name, shape)).toMatchObject({ shape });
  const rows = elements(shape) / shape.at(-1)!;
  const bytes = Buffer.alloc(entry.bytes);
  const rowBytes = entry.bytes / rows;
  const whole = checkpoint.entry(name);
  const sourceRow = (whole.bytes / elements(whole.shape)) * whole.shape.at(-1)!;
  for (const range of [[1, rows] as const, [0, 1] as const])
    await view.stream(name, { rows: range, chunkBytes: 13 * sourceRow }, (chunk, row) => {
      bytes.set(chunk, row * rowBytes);
    });
  return decode(entry.dtype, bytes);
}

function decode(dtype: string, bytes: Buffer): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return new Float32Array(new Uint8Array(bytes).buffer);
  const halves = new Uint16Array(new Uint8Array(bytes).buffer);
  if (dtype !== "BF16") throw new Error(dtype);
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

function indices(spans: readonly { from: number; to: number }[] | undefined, all: number): number[] {
  const chosen = spans ?? [{ from: 0, to: all }];
  return chosen.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
}

test("what cannot be dealt is told with the figures", () => {
  const config = { heads: 6, kvHeads: 2, intermediate: 512, delta: undefined } as unknown as ModelConfig;
  expect(() => sharesOf(config, [1, 1, 1])).toThrow(
    "num_attention_heads: 6 in groups of 3 cannot be dealt to 3",
  );
  expect(() => sharesOf({ ...config, heads: 2, kvHeads: 1 }, [1, 1, 1])).toThrow(
    "num_attention_heads: 2 cannot",
  );
  const delta = { keyHeads: 2, valueHeads: 4, keyDim: 8, valueDim: 8, conv: 4, order: "grouped" as const };
  expect(() => sharesOf({ ...config, kvHeads: 6, delta }, [1, 1, 1, 1])).toThrow(
    "linear_num_value_heads in steps of 2: 2 cannot be dealt to 4 devices",
  );
  const experts = { intermediate: 3, shared: 8 } as NonNullable<ModelConfig["experts"]>;
  expect(() => sharesOf({ ...config, heads: 8, kvHeads: 8, experts }, [1, 1, 1, 1])).toThrow(
    "moe_intermediate_size: 3 cannot be dealt to 4 devices",
  );
  expect(() => sharesOf(config, [1, 0])).toThrow("weights: [1, 0]");
});

test("value heads that lie in rounds are found in every round", () => {
  const delta = { keyHeads: 4, valueHeads: 8, keyDim: 2, valueDim: 3, conv: 4, order: "tiled" as const };
  const config = { heads: 4, kvHeads: 4, headDim: 8, intermediate: 512, attention: {}, delta };
  const [, second] = sharesOf(config as unknown as ModelConfig, [1, 1]);
  const slice = second!.sliceOf("model.layers.3.linear_attn.A_log");
  expect(indices(slice?.rows?.spans, 8)).toEqual([2, 3, 6, 7]);
});

test("all names of an expert's matrices are known, stacked or one by one, of any prefix", () => {
  const experts = { experts: 5, intermediate: 64, shared: 96 } as NonNullable<ModelConfig["experts"]>;
  const config = { heads: 4, kvHeads: 4, headDim: 8, intermediate: 128, attention: {}, experts };
  const [, second] = sharesOf(config as unknown as ModelConfig, [1, 1]);
  const slice = (name: string) => second!.sliceOf(`model.layers.2.mlp.${name}`);
  const rows = { of: 64, spans: [{ from: 32, to: 64 }] };
  expect(slice("experts.gate_up_proj")).toEqual({
    ...{ stack: 5, rows: { of: 128, spans: [rows.spans[0], { from: 96, to: 128 }] } },
  });
  expect(slice("experts.up_proj.weight")).toEqual({ stack: 5, rows });
  expect(slice("experts.down_proj")).toEqual({ stack: 5, columns: rows });
  expect(slice("experts.3.gate_proj.weight")).toEqual({ rows });
  expect(slice("experts.3.down_proj.weight")).toEqual({ columns: rows });
  expect(slice("shared_expert.down_proj.weight")?.columns).toMatchObject({ of: 96 });
  for (const whole of ["gate.weight", "shared_expert_gate.weight"]) expect(slice(whole)).toBeUndefined();
  expect(second!.sliceOf("layers.2.mlp.up_proj.weight")?.rows?.spans).toEqual([{ from: 64, to: 128 }]);
});

test.each<[string, number, Partial<ModelConfig>, (config: ModelConfig) => number | undefined, number[]]>([
  ["floats in equal parts", 1, {}, (c) => c.intermediate, [384, 384]],
  ["units in whole blocks", 256, {}, (c) => c.intermediate, [512, 256]],
  ["units of which blocks are too large", 256, { intermediate: 160 }, (c) => c.intermediate, [96, 64]],
  ["heads of half a block in pairs", 256, { heads: 6, kvHeads: 6 }, (c) => c.heads, [4, 2]],
  ["heads that are whole groups", 256, { heads: 12, kvHeads: 6 }, (c) => c.kvHeads, [3, 3]],
])("%s", (_, block, given, of, expected) => {
  const config = { heads: 4, kvHeads: 4, headDim: 128, intermediate: 768, attention: {}, ...given };
  const shares = sharesOf(config as ModelConfig, [1, 1], block);
  expect(shares.map((share) => of(share.config))).toEqual(expected);
});

test("value heads that lie in rounds are cut where blocks end", () => {
  const delta = { keyHeads: 4, valueHeads: 12, keyDim: 128, valueDim: 128, conv: 4, order: "tiled" as const };
  const config = { heads: 4, kvHeads: 4, headDim: 256, intermediate: 512, attention: {}, delta };
  const [first] = sharesOf(config as unknown as ModelConfig, [3, 1], 256);
  const columns = first!.sliceOf("model.layers.0.linear_attn.out_proj.weight")?.columns?.spans;
  expect(columns).toEqual([0, 4, 8].map((head) => ({ from: 128 * head, to: 128 * (head + 2) })));
});

test("columns that are no whole blocks are refused, before anything is read", async () => {
  const plain = await openCheckpoint(join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text"));
  const folder = mkdtempSync(join(tmpdir(), "slices-"));
  await exportGguf(plain, join(folder, "q4_k.gguf"), { dtype: "Q4_K" });
  await plain.close();
  const file = await openCheckpoint(join(folder, "q4_k.gguf"));
  const shares = sharesOf(parseConfig(file.config, file.configFile), [1, 1], blockOf(file));
  const entry = (part: string) => sliced(file, shares[1]!).entry(`model.layers.${part}.weight`);
  expect(entry("3.self_attn.o_proj")).toMatchObject({ dtype: "Q4_K", shape: [64, 512], bytes: 64 * 2 * 144 });
  expect(() => entry("0.linear_attn.out_proj")).toThrow(
    "columns 128 to 255 of model.layers.0.linear_attn.out_proj.weight are not whole Q4_K blocks of 256",
  );
  await file.close();
  rmSync(folder, { recursive: true });
});
