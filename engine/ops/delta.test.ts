// Every kernel of the delta net compiles and binds on the null backend, and configurations out of reach are named.
import { afterAll, beforeAll, expect, test } from "vitest";
import { heldTo, oneWidth, varying } from "../../test-fixtures/dense.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { openGpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { permanent } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import {
  cardRowLanes,
  causalConv,
  createDeltaState,
  deltaChunks,
  deltaRule,
  deltaScan,
  deltaStateBytes,
  deltaStep,
  deltaWays,
  deltaWidths,
  gatedNorm,
  serialTokens,
  type DeltaConfig,
  type DeltaVariant,
} from "./delta.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

const released: DeltaConfig = { keyHeads: 16, valueHeads: 48, keyDim: 128, valueDim: 128, conv: 4 };
const shapes: DeltaConfig[] = [
  released,
  { keyHeads: 4, valueHeads: 8, keyDim: 32, valueDim: 32, conv: 4 },
  { keyHeads: 2, valueHeads: 6, keyDim: 4, valueDim: 256, conv: 4 },
  { keyHeads: 1, valueHeads: 2, keyDim: 256, valueDim: 12, conv: 4 },
];

function record(config: DeltaConfig, capacity: number, variant?: DeltaVariant) {
  const { channels, row } = deltaWidths(config);
  const pass = new Recording(gpu, {
    capacity,
    step: permanent(gpu, "step", [4], new Uint32Array([capacity, 0, 0, 0])),
  });
  const vector = (length: number) => permanent(gpu, "vector", [length]);
  const weights = {
    convWeight: permanent(gpu, "convWeight", [channels, 4]),
    A_log: vector(config.valueHeads),
    dt_bias: vector(config.valueHeads),
    norm: vector(config.valueDim),
    eps: 1e-6,
  };
  const u = permanent(gpu, "u", [capacity, row]);
  const state = createDeltaState(gpu, config);
  if (!variant) {
    deltaRule(pass, u, weights, config, state);
    return pass;
  }
  const qkv = causalConv(pass, u, weights.convWeight, state);
  deltaStep(pass, u, qkv, weights, config, state, cardRowLanes(config));
  const chunks = deltaChunks(pass, qkv, u, weights, config, variant);
  gatedNorm(pass, deltaScan(pass, qkv, chunks, config, state, variant), u, weights, config);
  return pass;
}

test.each(shapes)("every path compiles: $keyHeads × $keyDim, $valueHeads × $valueDim", async (config) => {
  const one = await record(config, 1).finish();
  expect(one.kernels).toEqual(["delta_step"]);
  const few = await record(config, serialTokens).finish();
  expect(few.kernels).toEqual(["conv_causal", "delta_step"]);
  const many = await record(config, serialTokens + 1).finish();
  expect(many.kernels).toEqual(["conv_causal", "delta_chunk", "delta_scan", "gated_norm"]);
  const card = await record(config, 40, { quads: 1 }).finish();
  expect(card.kernels).toEqual(["conv_causal", "delta_step", "delta_chunk", "delta_scan", "gated_norm"]);
  if (config.keyDim > 128) return; // not even four lanes have room for their columns of the state in 16 KiB
  const software = await record(config, 40, { lanes: config.keyDim > 64 ? 4 : 8 }).finish();
  expect(software.kernels).toEqual([
    "conv_causal",
    "delta_step",
    "delta_chunk_lanes",
    "delta_scan_lanes",
    "gated_norm",
  ]);
});

test.each(["16x16x16", "8x16x16", "8x8x8"])("matrices of %s compile", async (shape) => {
  for (const config of [released, { ...released, keyDim: 48, valueDim: 96 }]) {
    const plan = await record(config, 40, { shape, columns: 16, WIDTH: 32 }).finish(); // 32 take more than 16 KiB
    const chunked = ["delta_chunk_matrix", "delta_scan_matrix"];
    expect(plan.kernels).toEqual(["conv_causal", "delta_step", ...chunked, "gated_norm"]);
  }
});

test("the ways of a card: registers, and matrices where they may be used and fit", () => {
  const config = (M: number) => ({ componentType: "f16", resultComponentType: "f32", M, N: M, K: M });
  const card: Gpu = {
    ...gpu,
    has: { ...gpu.has, subgroups: true, subgroupMatrix: true, f16: true },
    subgroupSize: oneWidth(32),
    report: { ...gpu.report, kind: "hardware", subgroupMatrixConfigs: [config(16), config(32)] },
  };
  const ways = (on: Gpu, of = released) => deltaWays(on, of).map(({ name }) => name);
  const room = (bytes: number) => ({
    ...card,
    limits: { ...card.limits, maxComputeWorkgroupStorageSize: bytes },
  });
  const [wide, narrow] = ["matrices 16x16x16, 32 columns", "matrices 16x16x16, 16 columns"];
  expect(ways(room(32_768))).toEqual(["registers", wide, narrow]);
  expect(ways(room(16_384))).toEqual(["registers", narrow]);
  expect(ways(room(32_768), { ...released, valueDim: 48 })).toEqual(["registers", narrow]);
  expect(ways(room(32_768), { ...released, keyDim: 36 })).toEqual(["registers"]);
  expect(ways({ ...card, tuning: new Tuning({ strict: true }) })).toEqual(["registers"]);
  expect(ways({ ...card, subgroupSize: varying })).toEqual(["registers"]);
  expect(ways({ ...room(32_768), subgroupSize: heldTo(32) })).toEqual(["registers", wide, narrow]);
  const none = "workgroups of four subgroups are no whole ones of the widest";
  expect(ways({ ...room(32_768), subgroupSize: { min: 4, max: 128, width: 16 } }), none).toEqual([
    "registers",
  ]);
  expect(ways({ ...card, has: { ...card.has, f16: false } })).toEqual(["registers"]);
  const software: Gpu = { ...card, report: { ...card.report, kind: "software" } };
  expect(ways({ ...software, subgroupSize: oneWidth(4) })).toEqual(["lanes"]);
});

test("the state of a released layer", () => {
  expect(deltaStateBytes(released)).toBe(4 * (4 * 10240 + 48 * 128 * 128));
});

test.each([
  [{ conv: 3 }, "convolution of 3 taps"],
  [{ valueHeads: 40 }, "40 value heads are not a multiple of 16 key heads"],
  [{ keyHeads: 1, valueHeads: 3 }, "3 value heads; an even number"],
  [{ keyDim: 30 }, "head width 30"],
  [{ valueDim: 260 }, "head width 260"],
])("%j is refused", (part, message) => {
  expect(() => deltaWidths({ ...released, ...part })).toThrow(message);
});
