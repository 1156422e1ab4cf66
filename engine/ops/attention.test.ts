// Every attention kernel, with every part it is joined with, compiles and binds on the null backend.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../gpu/adapter.ts";
import { openGpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/plan.ts";
import { permanent } from "../gpu/tensor.ts";
import { attention, createKvCache, packedWidth, type AttentionOptions } from "./attention.ts";
import { prepareQkv, type QkvOptions } from "./qkv.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

function record(
  capacity: number,
  heads: number,
  kvHeads: number,
  headDim: number,
  gate: boolean,
  norm: boolean,
) {
  const step = permanent(gpu, "step", [4], new Uint32Array([capacity, 0, 0, 0]));
  const pass = new Recording(gpu, { capacity, step });
  const shape = { heads, kvHeads, headDim };
  const cache = createKvCache(gpu, { capacity: 300, kvHeads, headDim });
  const qkv = permanent(gpu, "qkv", [capacity, packedWidth(shape, gate)]);
  const weight = permanent(gpu, "norm", [headDim]);
  const options: QkvOptions = {
    ...shape,
    ...(norm ? { qNorm: weight, kNorm: weight } : {}),
    gate,
    eps: 1e-6,
    normOffset: 1,
    rope: { table: permanent(gpu, "table", [7, headDim / 2, 2]), dims: headDim },
    positions: permanent(gpu, "positions", [3, capacity], undefined, "u32"),
    cache,
  };
  const mixing: AttentionOptions = { ...shape, ...(gate ? { gate: qkv } : {}) };
  return { pass, qkv, options, y: attention(pass, prepareQkv(pass, qkv, options), cache, mixing) };
}

const widths = [4, 32, 64, 72, 80, 96, 128, 256];

test.each(widths)("all variants compile at head width %d", async (headDim) => {
  for (const [heads, kvHeads] of [
    [1, 1],
    [6, 2],
    [14, 2],
  ] as const) {
    for (const gate of [true, false]) {
      const decode = await record(1, heads, kvHeads, headDim, gate, gate).pass.finish();
      expect(decode.kernels).toEqual(["qkv_prepare", "attention_split", "attention_merge"]);
      const prefill = await record(5, heads, kvHeads, headDim, gate, !gate).pass.finish();
      expect(prefill.kernels).toEqual(["qkv_prepare", "attention_tile"]);
    }
  }
});

test("shapes that the kernels cannot take are refused", () => {
  expect(() => record(5, 6, 2, 260, false, false)).toThrow("head width 260");
  expect(() => record(5, 6, 2, 66, false, false)).toThrow("head width 66");
  expect(() => record(5, 6, 4, 64, false, false)).toThrow("6 query heads");
  const { pass, qkv, options } = record(5, 6, 2, 64, false, true);
  const { kNorm: _, ...lonely } = options;
  expect(() => prepareQkv(pass, qkv, lonely)).toThrow("come together");
  const rope = { ...options.rope, sections: [11, 11, 9] as const };
  expect(() => prepareQkv(pass, qkv, { ...options, rope })).toThrow("sections [11, 11, 9] for 32");
  expect(() => prepareQkv(pass, qkv, { ...options, gate: true })).toThrow("expected shape");
});

test("a cache that the device cannot bind is refused with its size", () => {
  const tokens = Math.ceil(gpu.limits.maxBufferSize / 4);
  const create = () => createKvCache(gpu, { capacity: tokens, kvHeads: 2, headDim: 4 });
  expect(create).toThrow(expect.objectContaining({ code: "out_of_memory" }));
});
