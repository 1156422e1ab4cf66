import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { packageRoot } from "../root.ts";
import { sharesOf, type RankShare } from "./slices.ts";
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
      const whole = await checkpoint.readF32(tensor);
      const { shape } = checkpoint.entry(tensor);
      const width = whole.length / shape[0]!;
      const covered = new Uint8Array(whole.length);
      for (const share of shares) {
        const slice = share.sliceOf(tensor);
        const rows = indices(slice?.rows?.spans, shape[0]!);
        const columns = indices(slice?.columns?.spans, width);
        const part = await readPart(checkpoint, share, tensor, [rows.length, columns.length]);
        const expected = rows.flatMap((row) => columns.map((column) => whole[row * width + column]!));
        expect(part, tensor).toEqual(expected);
        for (const row of rows) for (const column of columns) covered[row * width + column]! += 1;
      }
      expect(
        covered.every((count) => count > 0),
        tensor,
      ).toBe(true);
    }
  });

  test("heads and units add up to the model's", () => {
    const sum = (of: (c: ModelConfig) => number) => shares.reduce((all, share) => all + of(share.config), 0);
    expect(sum((c) => c.heads)).toBe(config.heads);
    expect(sum((c) => c.intermediate)).toBe(config.intermediate);
    expect(sum((c) => c.kvHeads)).toBe(Math.max(config.kvHeads, weights.length));
    expect(sum((c) => c.delta?.valueHeads ?? 0)).toBe(config.delta?.valueHeads ?? 0);
  });
});

/** Through `stream`, two rows at a time, from row 1 on, as a loader might; then the first row. */
async function readPart(
  checkpoint: Checkpoint,
  share: RankShare,
  name: string,
  [rows, columns]: [number, number],
): Promise<number[]> {
  const view = sliced(checkpoint, share);
  const entry = view.entry(name);
  if (entry.shape.length !== 2) return [...(await view.readF32(name))];
  expect(view.expectTensor(name, [rows, columns])).toMatchObject({ shape: [rows, columns] });
  const bytes = Buffer.alloc(entry.bytes);
  const rowBytes = entry.bytes / rows;
  const whole = checkpoint.entry(name);
  const sourceRow = whole.bytes / whole.shape[0]!;
  for (const range of [[1, rows] as const, [0, 1] as const])
    await view.stream(name, { rows: range, chunkBytes: 2 * sourceRow }, (chunk, row) => {
      bytes.set(chunk, row * rowBytes);
    });
  return [...decode(entry.dtype, bytes)];
}

function decode(dtype: string, bytes: Buffer): Float32Array {
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
  const experts = {} as NonNullable<ModelConfig["experts"]>;
  expect(() => sharesOf({ ...config, experts }, [1, 1])).toThrow("has experts");
  expect(() => sharesOf(config, [1, 0])).toThrow("weights: [1, 0]");
});

test("value heads that lie in rounds are found in every round", () => {
  const delta = { keyHeads: 4, valueHeads: 8, keyDim: 2, valueDim: 3, conv: 4, order: "tiled" as const };
  const config = { heads: 4, kvHeads: 4, headDim: 8, intermediate: 512, attention: {}, delta };
  const [, second] = sharesOf(config as unknown as ModelConfig, [1, 1]);
  const slice = second!.sliceOf("model.layers.3.linear_attn.A_log");
  expect(indices(slice?.rows?.spans, 8)).toEqual([2, 3, 6, 7]);
});
