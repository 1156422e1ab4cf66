// The delta rule by a device's matrices, emulated: against the twin whose operands are rounded as the kernels round them, which
// holds the arithmetic, and against the exact one, which says what rounding costs.
import { afterEach, describe, expect, test as anywhere, vi } from "vitest";
import {
  columns,
  DeltaLayer,
  deltaInputs,
  editedInputs,
  type DeltaInputs,
} from "../../test-fixtures/delta.ts";
import { mistakes, mistakenRule } from "../../test-fixtures/delta-mistakes.ts";
import { asKernels, otherRoundings, roundedRule, type Rounding } from "../../test-fixtures/delta-rounding.ts";
import { relative } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { emulating, withMatrices } from "../../test-fixtures/matrices.ts";
import * as reference from "../reference/delta.ts";
import { deltaRule, serialTokens, type DeltaConfig } from "./delta.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu(false); // as cards are
/** Four lanes have no room for a workgroup's part of S: such a device is never offered the matrices. */
const test = anywhere.skipIf(device.subgroupSize.max < 8);
const layers: DeltaLayer[] = [];
afterEach(() => {
  for (const layer of layers.splice(0)) layer.destroy();
});

const odd = { keyHeads: 2, valueHeads: 6, keyDim: 32, valueDim: 64, conv: 4 } as const;
const released = { keyHeads: 1, valueHeads: 2, keyDim: 128, valueDim: 128, conv: 4 } as const;
const ragged = { keyHeads: 1, valueHeads: 2, keyDim: 80, valueDim: 48, conv: 4 } as const;

interface Case {
  shape: string;
  columns: 16 | 32;
  config: DeltaConfig;
}

/** y and S of a layer that takes its prompts by matrices, in runs of these lengths. */
async function run({ shape, columns }: Case, inputs: DeltaInputs, splits: readonly number[]) {
  const used: string[] = [];
  const gpu = withMatrices(device, shape, `matrices ${shape}, ${columns} columns`);
  const layer = new DeltaLayer(gpu, inputs, (pass, ...given) => deltaRule(emulating(pass, used), ...given));
  layers.push(layer);
  const y = await layer.runAll(splits, (T) => (T % 2 === 1 && T > 1 ? 37 : 0)); // room is filled with NaN
  expect(used).toContain("delta_scan_matrix");
  return { y, S: await layer.readS() };
}

/** Runs of one or two tokens go one by one, and round nothing. */
function twin(inputs: DeltaInputs, rounding: Rounding, splits: readonly number[]) {
  const state = reference.deltaTwinState(inputs.config);
  const { row } = columns(inputs.config);
  let past = 0;
  const y = splits.flatMap((T) => {
    const u = inputs.u.subarray(past * row, (past += T) * row);
    const rule = T > serialTokens ? roundedRule(rounding) : reference.recurrentRule;
    return [...reference.deltaRule(u, inputs.weights, inputs.config, state, rule).y];
  });
  return { y: Float32Array.from(y), S: Float32Array.from(state.S) };
}

/**
 * y and S are near those of the twin that rounds as the kernels do (rarely a key is rounded the other way, as its norm is f32
 * here), near enough to the exact ones, and that is more than bf16 would reach.
 */
async function expectTwins(
  c: Case,
  inputs: DeltaInputs,
  splits: readonly number[],
  { rounded, exact }: { rounded: number; exact: number },
) {
  const got = await run(c, inputs, splits);
  const error = (rounding: Rounding) => {
    const want = twin(inputs, rounding, splits);
    return Math.max(relative(got.y, want.y), relative(got.S, want.S));
  };
  expect(error(asKernels), "against the twin of rounded operands").toBeLessThan(rounded);
  expect(error(otherRoundings.none), "against the exact one").toBeLessThan(exact);
  expect(error(otherRoundings["in bf16"])).toBeGreaterThan(exact);
  return got;
}

test.each([
  { shape: "16x16x16", columns: 32, config: odd },
  { shape: "8x16x16", columns: 16, config: ragged },
  { shape: "8x8x8", columns: 32, config: odd },
  { shape: "16x16x16", columns: 16, config: released },
] satisfies Case[])("$shape, $columns columns", async (c) => {
  const inputs = deltaInputs(c.config, 101, 7);
  const splits = [37, 64];
  const { y } = await expectTwins(c, inputs, splits, { rounded: 2e-4, exact: 5e-4 });
  for (const [name, other] of Object.entries(otherRoundings))
    expect(relative(y, twin(inputs, other, splits).y), `${name} would be seen`).toBeGreaterThan(1.2e-4);
});

test("state carried over uneven splits", async () => {
  const c = { shape: "16x16x16", columns: 32, config: odd } as const;
  const splits = [5, 64, 1, 1, 33, 2, 1, 3, 40, 1];
  await expectTwins(c, deltaInputs(odd, 151, 7), splits, { rounded: 2e-4, exact: 5e-4 });
});

test("value heads of a key head may lie apart", async () => {
  const c = { shape: "16x16x16", columns: 32, config: { ...odd, order: "tiled" } } as const;
  await expectTwins(c, deltaInputs(c.config, 41, 21), [41], { rounded: 1e-4, exact: 5e-4 });
});

test.each(mistakes)("a rule with %s would be caught", async (mistake) => {
  const c = { shape: "16x16x16", columns: 32, config: odd } as const;
  const inputs = deltaInputs(odd, 70, 17);
  const { y } = await run(c, inputs, [70]);
  const state = reference.deltaTwinState(odd);
  const wrong = reference.deltaRule(inputs.u, inputs.weights, odd, state, mistakenRule(mistake)).y;
  expect(relative(y, twin(inputs, otherRoundings.none, [70]).y)).toBeLessThan(5e-4);
  expect(relative(y, Float32Array.from(wrong))).toBeGreaterThan(1e-2);
});

describe("hard inputs", () => {
  const T = 140;
  const c = { shape: "16x16x16", columns: 32, config: odd } as const;

  const edited = (edit: Parameters<typeof editedInputs>[2]) => editedInputs(odd, T, edit);

  test("near-identical keys, all of each written, nothing forgotten", async () => {
    const inputs = edited((row, _, at) => {
      for (let i = at.k; i < at.v; i++) row[i] = 1 + 0.3 * Math.sin(i) + 1e-2 * row[i]!;
      row.fill(12, at.b, at.a);
      row.fill(-14, at.a, at.row);
    });
    inputs.weights.dt_bias = new Float32Array(odd.valueHeads);
    const at = columns(odd);
    for (let i = at.k; i < at.v; i++) inputs.weights.convWeight.set([0, 0, 0.1, 1], i * 4);
    await expectTwins(c, inputs, [67, 73], { rounded: 1e-3, exact: 5e-3 });
  });

  test("decays of e^-50 among decays near 1", async () => {
    const inputs = edited((row, t, at) => row.fill(t % 20 < 10 ? 50 : -9, at.a, at.row));
    inputs.weights.A_log = new Float32Array(odd.valueHeads);
    inputs.weights.dt_bias = new Float32Array(odd.valueHeads);
    await expectTwins(c, inputs, [67, 73], { rounded: 3e-4, exact: 6e-4 });
  });

  test("gates of ±100", async () => {
    const inputs = edited((row, t, at) => {
      for (let h = 0; h < odd.valueHeads; h++) {
        row[at.a + h] = t % 3 === 0 ? 100 : -100;
        row[at.b + h] = (t + h) % 4 < 2 ? 100 : -100;
      }
    });
    await expectTwins(c, inputs, [67, 73], { rounded: 1e-4, exact: 1e-3 });
  });

  test("zero keys and queries", async () => {
    const inputs = edited((row, t, at) => {
      if (t % 5 < 4) row.fill(0, at.q, at.v);
    });
    await expectTwins(c, inputs, [67, 73], { rounded: 5e-4, exact: 1e-3 });
  });

  test("values far beyond f16, and far below", async () => {
    const inputs = edited((row, _, at) => {
      for (let i = at.v; i < at.z; i++) row[i]! *= i - at.v < 64 ? 1e7 : i - at.v < 128 ? 1e-7 : 1;
    });
    await expectTwins(c, inputs, [67, 73], { rounded: 3e-4, exact: 1e-3 });
  });
});

test("a long prompt that repeats itself", async () => {
  const period = deltaInputs(odd, 7, 13);
  const u = Float32Array.from(
    { length: (800 * period.u.length) / 7 },
    (_, i) => period.u[i % period.u.length]!,
  );
  const inputs = { ...period, u };
  inputs.weights.A_log = new Float32Array(odd.valueHeads).fill(-6);
  const c = { shape: "16x16x16", columns: 32, config: odd } as const;
  await expectTwins(c, inputs, [500, 300], { rounded: 4e-4, exact: 1e-3 });
});
