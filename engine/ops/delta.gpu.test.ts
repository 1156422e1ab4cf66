// The gated delta net on a device: every path against the f64 twin, with the state carried over uneven splits.
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Gpu } from "../gpu/adapter.ts";
import * as reference from "../reference/delta.ts";
import {
  columns,
  DeltaLayer,
  deltaInputs,
  editedInputs,
  type DeltaInputs,
  type DeltaOp,
} from "../../test-fixtures/delta.ts";
import { mistakes, mistakenRule } from "../../test-fixtures/delta-mistakes.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import {
  causalConv,
  deltaChunks,
  deltaRule,
  deltaScan,
  deltaStep,
  gatedNorm,
  resetDeltaState,
  type DeltaVariant,
} from "./delta.ts";
import { subgroupWidth } from "./variants.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let gpu: Gpu;
const layers: DeltaLayer[] = [];
beforeAll(async () => {
  gpu = await testGpu();
});
afterEach(() => {
  for (const layer of layers.splice(0)) layer.destroy();
});

const odd = { keyHeads: 2, valueHeads: 6, keyDim: 32, valueDim: 64, conv: 4 };
const released = { keyHeads: 2, valueHeads: 4, keyDim: 128, valueDim: 128, conv: 4 };
const ragged = { keyHeads: 1, valueHeads: 2, keyDim: 20, valueDim: 12, conv: 4 };
const widest = { keyHeads: 1, valueHeads: 2, keyDim: 256, valueDim: 256, conv: 4 };

function layerOf(inputs: DeltaInputs, op: DeltaOp = deltaRule): DeltaLayer {
  const layer = new DeltaLayer(gpu, inputs, op);
  layers.push(layer);
  return layer;
}

/** Token by token, however many there are. */
function serial(rowLanes: number): DeltaOp {
  return (pass, u, weights, config, state) => {
    const qkv = pass.capacity === 1 ? undefined : causalConv(pass, u, weights.convWeight, state);
    return deltaStep(pass, u, qkv, weights, config, state, rowLanes);
  };
}

/** By chunks, however few there are. */
function chunked(variant?: DeltaVariant): DeltaOp {
  return (pass, u, weights, config, state) => {
    const qkv = causalConv(pass, u, weights.convWeight, state);
    const chunks = deltaChunks(pass, qkv, u, weights, config, variant);
    return gatedNorm(pass, deltaScan(pass, qkv, chunks, config, state, variant), u, weights, config);
  };
}

/** Every way to compute many tokens on this device. */
function paths(): [string, DeltaOp][] {
  const lanes = subgroupWidth(gpu);
  return [
    ["serial", serial(1)],
    ["serial, three invocations to a column", serial(3)],
    ["tiles of 12 columns, the last one of 4", chunked({ quads: 3 })],
    ...(lanes === undefined ? [] : ([["lanes", chunked({ lanes })]] as [string, DeltaOp][])),
  ];
}

async function expectTwin(
  layer: DeltaLayer,
  inputs: DeltaInputs,
  splits: readonly number[],
  tolerance = 1e-4,
) {
  const twin = reference.deltaTwinState(inputs.config);
  const { y } = reference.deltaRule(inputs.u, inputs.weights, inputs.config, twin);
  // Odd splits leave room in the pass, filled with NaN.
  expectClose(await layer.runAll(splits, (T) => (T % 2 === 1 && T > 1 ? 37 : 0)), y, tolerance, "y");
  expectClose(await layer.readS(), twin.S, tolerance / 10, "S");
  expectClose(await layer.readWindow(), twin.window, 0, "window");
}

describe.each([
  ["2 and 6 heads of 32 and 64", odd, [1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 130, 257]],
  ["2 and 4 heads of 128", released, [1, 2, 3, 33, 64, 130]],
])("%s", (_, config, lengths) => {
  test.each(lengths)("%d tokens", async (T) => {
    const inputs = deltaInputs(config, T, T);
    await expectTwin(layerOf(inputs), inputs, [T]);
  });

  test("state carried over uneven splits", async () => {
    const splits = [5, 64, 1, 1, 33, 2, 1, 3, 40, 1];
    const inputs = deltaInputs(config, 151, 7);
    await expectTwin(layerOf(inputs), inputs, splits);
  });
});

test.each([
  ["20 and 12", ragged],
  ["256", widest],
])("head widths of %s", async (_, config) => {
  const inputs = deltaInputs(config, 44, 3);
  await expectTwin(layerOf(inputs), inputs, [41, 1, 2]);
});

test("all paths agree on the same tokens", async () => {
  const inputs = deltaInputs(odd, 137, 5);
  for (const [, op] of paths()) await expectTwin(layerOf(inputs, op), inputs, [3, 70, 1, 63]);
});

test("value heads of a key head may lie apart", async () => {
  const inputs = deltaInputs({ ...odd, order: "tiled" }, 41, 21);
  await expectTwin(layerOf(inputs), inputs, [1, 38, 2]);
});

test("a state reset is a new sequence", async () => {
  const inputs = deltaInputs(odd, 34, 9);
  const layer = layerOf(inputs);
  const first = await layer.run(34);
  layer.rewind();
  resetDeltaState(gpu, 0, layer.state);
  expectClose(await layer.run(34), first, 0);
});

describe("hard inputs", () => {
  const T = 140;

  async function expectAllPaths(inputs: DeltaInputs, tolerance = 1e-4) {
    for (const [, op] of [["chosen", deltaRule] as const, ...paths()]) {
      await expectTwin(layerOf(inputs, op), inputs, [67, 73], tolerance);
    }
  }

  const edited = (edit: Parameters<typeof editedInputs>[2]) => editedInputs(odd, T, edit);

  test("near-identical keys, all of each written, nothing forgotten", async () => {
    const inputs = edited((row, _, at) => {
      for (let c = at.k; c < at.v; c++) row[c] = 1 + 0.3 * Math.sin(c) + 1e-3 * row[c]!;
      row.fill(12, at.b, at.a);
      row.fill(-14, at.a, at.row);
    });
    inputs.weights.dt_bias = new Float32Array(odd.valueHeads);
    const at = columns(odd);
    for (let c = at.k; c < at.v; c++) inputs.weights.convWeight.set([0, 0, 0.1, 1], c * 4);
    // A is then nearly all ones below the diagonal: its powers reach binomials of 31, 10^8, its inverse stays at 1.
    const { heads } = reference.deltaRule(inputs.u, inputs.weights, odd, reference.deltaTwinState(odd));
    expect(Math.min(...heads[0]!.beta)).toBeGreaterThan(0.999);
    expect(Math.min(...heads[0]!.g)).toBeGreaterThan(-1e-5);
    const alike = heads[0]!.k[0]!.reduce((sum, x, i) => sum + x * heads[0]!.k[31]![i]!, 0);
    expect(alike).toBeGreaterThan(0.99);
    await expectAllPaths(inputs, 3e-4);
  });

  test("decays of e^-50 among decays near 1", async () => {
    const inputs = edited((row, t, at) => row.fill(t % 20 < 10 ? 50 : -9, at.a, at.row));
    inputs.weights.A_log = new Float32Array(odd.valueHeads);
    inputs.weights.dt_bias = new Float32Array(odd.valueHeads);
    await expectAllPaths(inputs);
  });

  test("gates of ±100", async () => {
    const inputs = edited((row, t, at) => {
      for (let h = 0; h < odd.valueHeads; h++) {
        row[at.a + h] = t % 3 === 0 ? 100 : -100;
        row[at.b + h] = (t + h) % 4 < 2 ? 100 : -100;
      }
      for (let c = at.z; c < at.b; c++) row[c] = c % 2 === 0 ? 100 : -100;
    });
    await expectAllPaths(inputs, 1e-3); // z multiplies the output, and its error, by 100
  });

  test("zero keys and queries", async () => {
    const inputs = edited((row, t, at) => {
      if (t % 5 < 4) row.fill(0, at.q, at.v);
    });
    await expectAllPaths(inputs);
  });
});

test("2,000 times the same token", async () => {
  const one = deltaInputs(ragged, 1, 13);
  const row = one.u.length;
  const u = new Float32Array(2000 * row);
  for (let t = 0; t < 2000; t++) u.set(one.u, t * row);
  const inputs = { ...one, u };
  inputs.weights.A_log = new Float32Array(ragged.valueHeads).fill(-6);
  await expectTwin(layerOf(inputs), inputs, [2000]);
});

test.each(mistakes)("a rule with %s would be caught", async (mistake) => {
  const inputs = deltaInputs(odd, 70, 17);
  const state = reference.deltaTwinState(odd);
  const wrong = reference.deltaRule(inputs.u, inputs.weights, odd, state, mistakenRule(mistake)).y;
  const right = reference.deltaRule(inputs.u, inputs.weights, odd, reference.deltaTwinState(odd)).y;
  const y = await layerOf(inputs).run(70);
  expectClose(y, right, 1e-4);
  expect(() => expectClose(y, wrong, 1e-2)).toThrow(/error/);
});

test("key heads tiled instead of repeated would be caught", async () => {
  const inputs = deltaInputs(odd, 20, 19);
  const { heads } = reference.deltaRule(inputs.u, inputs.weights, odd, reference.deltaTwinState(odd));
  const rule = (keysOf: (h: number) => number) => {
    const o = heads.map((head, h) => {
      const { q, k } = heads[keysOf(h)]!;
      return reference.recurrentRule({ ...head, q, k }, new Float64Array(odd.keyDim * odd.valueDim));
    });
    const coreOut = Float64Array.from(heads[0]!.g.flatMap((_, t) => o.flatMap((head) => [...head[t]!])));
    return reference.gatedNorm(coreOut, inputs.u, inputs.weights, odd);
  };
  const y = await layerOf(inputs).run(20);
  const apart = await layerOf({ ...inputs, config: { ...odd, order: "tiled" } }).run(20);
  const repeat = odd.valueHeads / odd.keyHeads;
  const grouped = rule((h) => h);
  const tiled = rule((h) => (h % odd.keyHeads) * repeat);
  expectClose(y, grouped, 1e-4);
  expectClose(apart, tiled, 1e-4);
  expect(() => expectClose(y, tiled, 1e-2)).toThrow(/error/);
});
