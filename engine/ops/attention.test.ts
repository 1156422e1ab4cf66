// Every attention kernel, with every part it is joined with, compiles and binds on the null backend.
import { afterAll, beforeAll, expect, test } from "vitest";
import { heldTo, oneWidth, varying as unsure } from "../../test-fixtures/dense.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { openGpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { permanent } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import { attend } from "./attend.ts";
import { attention, packedWidth } from "./attention.ts";
import { createKvCache, createPageTable, kvFormats, PAGE, type KvFormat } from "./kv-cache.ts";
import { prepareQkv, type QkvOptions } from "./qkv.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});

/** The null device, taken for another. */
function as(kind: "hardware" | "software", lanes: number): Gpu {
  const report = { ...gpu.report, kind };
  return {
    ...gpu,
    report,
    has: { ...gpu.has, subgroups: true },
    subgroupSize: oneWidth(lanes),
  };
}
afterAll(() => gpu.destroy());

interface Case {
  capacity?: number;
  heads?: number;
  kvHeads?: number;
  headDim?: number;
  gate?: boolean;
  norm?: boolean;
  format?: KvFormat;
}

function record(on: Gpu, of: Case) {
  const { capacity = 5, heads = 6, kvHeads = 2, headDim = 64, gate = false, norm = false } = of;
  const { format = "f32" } = of;
  const step = permanent(gpu, "step", [4], new Uint32Array([capacity, 0, 0, 0]));
  const pass = new Recording(on, { capacity, step });
  const shape = { heads, kvHeads, headDim };
  const cache = createKvCache(gpu, {
    format,
    pages: 7,
    kvHeads,
    headDim,
    table: createPageTable(gpu, 2, 300),
  });
  const qkv = permanent(gpu, "qkv", [capacity, packedWidth(shape, gate)]);
  const norms = permanent(gpu, "norms", [2 * headDim]);
  const options: QkvOptions = {
    ...shape,
    ...(norm ? { norms } : {}),
    gate,
    eps: 1e-6,
    normOffset: 1,
    rope: { table: permanent(gpu, "table", [7, headDim / 2, 2]), dims: headDim },
    positions: permanent(gpu, "positions", [3, capacity], undefined, "u32"),
    cache,
  };
  return { pass, qkv, options, y: attend(pass, qkv, options) };
}

const widths = [4, 32, 64, 72, 80, 96, 128, 256];

test.each(widths)("all variants compile at head width %d", async (headDim) => {
  const on: [Gpu, decode: string[], prefill: string[]][] = [
    [as("hardware", 32), ["attention_split", "attention_merge"], ["attention_tile"]],
    [
      { ...as("software", 8), subgroupSize: unsure },
      ["attention_split", "attention_merge"],
      ["attention_tile"],
    ],
    [as("software", 4), ["attention_decode"], ["attention_lanes"]],
    [as("software", 8), ["attention_decode"], ["attention_lanes"]],
  ];
  const groups = [
    { heads: 1, kvHeads: 1 },
    { heads: 6, kvHeads: 2 },
    { heads: 14, kvHeads: 2 },
  ];
  for (const [device, decode, prefill] of on) {
    const formats = kvFormats.filter((format) => format !== "q8_0" || headDim % 32 === 0);
    const all = groups.flatMap((group): Case[] => [
      { ...group, headDim },
      ...formats.map((format) => ({ ...group, headDim, gate: true, norm: true, format })),
    ]);
    for (const of of all) {
      const one = await record(device, { ...of, capacity: 1 }).pass.finish();
      const apart = of.format === "q8_0" && device.subgroupSize.width === 4; // blocks are rounded by 8 lanes
      expect(one.kernels).toEqual(apart ? ["qkv_prepare", "attention_lanes"] : decode);
      const many = await record(device, of).pass.finish();
      expect(many.kernels).toEqual(["qkv_prepare", ...prefill]);
    }
  }
});

test.each([
  ["16x16x16", oneWidth(32)],
  ["8x16x16", oneWidth(32)],
  ["8x8x8", oneWidth(32)],
  ["16x16x16", heldTo(32)],
])("on a card that multiplies matrices of %s, subgroups of %o", async (shape, subgroupSize) => {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  const config = { componentType: "f16", resultComponentType: "f32", M, N, K };
  const card = { ...as("hardware", 32), subgroupSize };
  const on = (name: string, change: Partial<Gpu> = {}): Gpu => ({
    ...{ ...card, ...change, tuning: Tuning.only(name) },
    report: { ...card.report, subgroupMatrixConfigs: [config] },
  });
  for (const headDim of widths) {
    for (const format of kvFormats.filter((format) => format !== "q8_0" || headDim % 32 === 0)) {
      const of = { heads: 14, headDim, gate: format === "f16", format };
      const plan = await record(on(`matrices ${shape}, 32 rows`), of).pass.finish();
      const ranges = format === "f16" ? [] : ["kv_ranges"];
      expect(plan.kernels).toEqual(["qkv_prepare", ...ranges, "row_scales", "attention_matrix"]);
    }
  }
  const name = `matrices ${shape}, 32 rows`;
  // Of eight buffers, the least that WebGPU knows, scales and ranges and a gate leave none for the ninth.
  expect(gpu.limits.maxStorageBuffersPerShaderStage).toBe(8);
  const crowded = await record(on(name), { gate: true, format: "f32" }).pass.finish();
  expect(crowded.kernels).toEqual(["qkv_prepare", "attention_tile"]);
  const strict = { ...on(name), tuning: Object.assign(Tuning.only(name), { strict: true }) };
  const varying = on(name, { subgroupSize: unsure });
  const narrow = on(name, { has: { ...card.has, f16: false } });
  const unmeasured = { ...on(name), tuning: new Tuning() };
  for (const device of [strict, varying, narrow, unmeasured]) {
    const plan = await record(device, {}).pass.finish();
    expect(plan.kernels).toEqual(["qkv_prepare", "attention_tile"]);
  }
});

test.each([
  [8_192, 1],
  [262_144, 3],
])("attention over %d tokens takes %d dispatches, which no driver's watchdog minds", (context, parts) => {
  const [capacity, heads, kvHeads, headDim] = [512, 32, 8, 128];
  const pass = new Recording(as("hardware", 32), { capacity, step: permanent(gpu, "step", [4]) });
  const dispatched: { groups: number; small: number; flops: number }[] = [];
  pass.dispatch = (_, __, { groups: [x], flops }) => {
    const at = (extent: typeof x, tokens: number) => (typeof extent === "number" ? extent : extent(tokens));
    dispatched.push({ groups: at(x, capacity), small: at(x, 10), flops: at(flops!, capacity) });
  };
  const table = createPageTable(gpu, 1, context);
  const cache = createKvCache(gpu, { pages: 2, kvHeads, headDim, table });
  attention(pass, permanent(gpu, "q", [capacity, heads, headDim]), cache, { heads, kvHeads, headDim });
  expect(dispatched).toHaveLength(parts);
  for (const { flops } of dispatched) expect(flops).toBeLessThanOrEqual(1e12);
  expect(dispatched.reduce((sum, { groups }) => sum + groups, 0)).toBe((capacity * heads) / kvHeads / 32);
  expect(dispatched.map(({ small }) => small)).toEqual([2, ...dispatched.slice(1).map(() => 0)]);
});

test("shapes that the kernels cannot take are refused", () => {
  expect(() => record(gpu, { headDim: 260 })).toThrow("head width 260");
  expect(() => record(gpu, { headDim: 66 })).toThrow("head width 66");
  expect(() => record(gpu, { headDim: 80, format: "q8_0" })).toThrow(
    "multiples of 32, and this model's is 80",
  );
  expect(() => record(gpu, { kvHeads: 4 })).toThrow("6 query heads");
  const { pass, qkv, options } = record(gpu, { norm: true });
  const norms = permanent(gpu, "norms", [options.headDim]);
  expect(() => prepareQkv(pass, qkv, { ...options, norms })).toThrow("expected shape [128]");
  const rope = { ...options.rope, sections: [11, 11, 9] as const };
  expect(() => prepareQkv(pass, qkv, { ...options, rope })).toThrow("sections [11, 11, 9] for 32");
  expect(() => prepareQkv(pass, qkv, { ...options, gate: true })).toThrow("expected shape");
});

test("a cache that the device cannot bind is refused with its size", () => {
  const pages = Math.ceil(gpu.limits.maxBufferSize / 4 / PAGE);
  const table = createPageTable(gpu, 1, 300);
  const create = () => createKvCache(gpu, { pages, kvHeads: 2, headDim: 4, table });
  expect(create).toThrow(expect.objectContaining({ code: "out_of_memory" }));
});
