// matmul_matrix with its matrices emulated in workgroup memory (shaders/matrix/emulated.wgsl): all of its indexing, scaling
// and rounding is run, on adapters that multiply no matrices. Of 8 × 8 lavapipe has its own in Mesa 26.2.
import { expect, test, vi } from "vitest";
import { noise, oneWidth, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { emulating, withMatrices } from "../../test-fixtures/matrices.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import { f16ToF32, f32ToF16 } from "../formats/halves.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { weightsWritten } from "../gpu/plan.ts";
import { permanent } from "../gpu/tensor.ts";
import { createWeight, writeRows } from "../gpu/weight.ts";
import * as reference from "../reference/linear.ts";
import { kept } from "./kept.fixture.ts";
import { linear } from "./linear.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu(false); // as cards are

interface Case {
  shape: string;
  /** Results of a workgroup, down and across; default: 64. */
  side?: 128;
  T: number;
  K: number;
  N: number;
}

async function run(
  c: Case,
  x: Float32Array<ArrayBuffer>,
  weights: Float32Array<ArrayBuffer>,
  written?: (gpu: Gpu) => void, // where W is written only when the plan has been made
) {
  const { T, K, N } = c;
  const gpu = c.side ? large(c.shape) : withMatrices(device, c.shape);
  const capacity = T + 3;
  const { bytes, values: W } = pack("bf16", weights, K);
  const [bias, add] = [noise(N, 3), noise(T * N, 4)];
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const weight = kept(
    written ? createWeight(gpu, "W", [N, K], "bf16") : weightOf(gpu, [N, K], "bf16", bytes),
  );
  const made = () => {
    if (!written) return;
    writeRows(gpu, weight, 0, bytes);
    written(gpu);
  };
  const options = {
    bias: kept(permanent(gpu, "bias", [N], bias)),
    add: kept(permanent(gpu, "add", [capacity, N], poisoned(add, capacity, N))),
  };
  const used: string[] = [];
  const [y] = await runOps(gpu, { capacity, tokens: T, made }, (pass) => {
    const on = emulating(pass, used);
    return [linear(on, xs, weight, options)];
  });
  expect(used).toContain("matmul_matrix");
  const twin = (a: Float32Array, b: Float32Array) => reference.linear(a, b, c, { bias, add });
  const count = T * N;
  const rest = (y as Float32Array).subarray(count);
  expect(
    rest.every((value) => value === 0),
    "rows beyond the run's tokens are left alone",
  ).toBe(true);
  return { y: (y as Float32Array).subarray(0, count), twin, W };
}

/** Tiles of 128 are for subgroups of 32, which emulated matrices only count lanes by. */
function large(shape: string): Gpu {
  const gpu = withMatrices(
    { ...device, subgroupSize: oneWidth(32) },
    shape,
    `matrices ${shape}, tiles of 128`,
  );
  return { ...gpu, has: { ...gpu.has, subgroups: true } };
}

/** What f16 makes of a row that was taken into its range, and back. */
function rounded(values: Float32Array, K: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < values.length; r += K) {
    const row = values.subarray(r, r + K);
    const most = row.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const scale = 2 ** (14 - Math.max(-100, Math.floor(Math.log2(most))));
    out.set(
      f16ToF32(f32ToF16(row.map((value) => value * scale))).map((value) => value / scale),
      r,
    );
  }
  return out;
}

test.each([
  { shape: "16x16x16", T: 70, K: 70, N: 75 },
  { shape: "8x16x16", T: 9, K: 40, N: 36 },
  { shape: "8x8x8", T: 67, K: 70, N: 75 },
  { shape: "16x16x16", side: 128, T: 133, K: 70, N: 150 },
] satisfies Case[])("%o", async (c: Case) => {
  const x = noise(c.T * c.K, 1);
  const { y, twin, W } = await run(c, x, noise(c.N * c.K, 2));
  const want = twin(rounded(x, c.K), rounded(W, c.K));
  expectClose(y, want, 1e-4, "against the twin of rounded inputs");
  expectClose(y, twin(x, W), 5e-2, "against the exact one"); // some inputs are 20
  expect(() =>
    expectClose(
      y,
      twin(
        x.map((v, i) => (i % c.K < 32 ? v : 0)),
        W,
      ),
      2e-2,
    ),
  ).toThrow(); // a lost tail of K
});

test("weights that are written when the plan has been made", async () => {
  const c = { shape: "8x16x16", T: 9, K: 40, N: 36 };
  const x = noise(c.T * c.K, 1);
  const weights = noise(c.N * c.K, 2).map((value) => 100 * value); // which f16 holds as they are badly
  const { y, twin, W } = await run(c, x, weights, weightsWritten);
  expectClose(y, twin(rounded(x, c.K), rounded(W, c.K)), 1e-3);
  const unheard = await run(c, x, weights, () => undefined);
  expect(() => expectClose(unheard.y, twin(x, W), 5e-2)).toThrow();
});

test("outliers: rows far beyond f16, tiny rows, and both in one", async () => {
  const c = { shape: "16x16x16", T: 70, K: 70, N: 75 };
  const sizes = [1, 1e9, 1e-9, 3e4, 0];
  const x = noise(c.T * c.K, 5).map((value, i) => value * sizes[Math.floor(i / c.K) % sizes.length]!);
  const weights = noise(c.N * c.K, 6).map(
    (value, i) => value * sizes[(Math.floor(i / c.K) + 2) % sizes.length]!,
  );
  for (let n = 0; n < c.N; n += 3) weights[n * c.K + (n % c.K)] = 3e6; // one of a row
  const { y, twin, W } = await run(c, x, weights);
  expectClose(y, twin(rounded(x, c.K), rounded(W, c.K)), 1e-4, "against the twin of rounded inputs");
  const unscaled = (values: Float32Array) =>
    f16ToF32(f32ToF16(values.map((v) => Math.min(65504, Math.max(-65504, v)))));
  expect(() => expectClose(y, twin(unscaled(x), unscaled(W)), 1e-1)).toThrow();
});

test("what is not finite does not become so, and spoils its own row alone", async () => {
  const c = { shape: "8x16x16", T: 9, K: 40, N: 36 };
  const x = noise(c.T * c.K, 1);
  const weights = noise(c.N * c.K, 2);
  x[3 * c.K + 17] = NaN;
  x[6 * c.K + 39] = Infinity;
  weights[5 * c.K + 8] = NaN;
  weights[35 * c.K] = -Infinity;
  const { y, twin, W } = await run(c, x, weights);
  const finite = (values: Float32Array) => values.map((value) => (Number.isFinite(value) ? value : 0));
  const want = twin(finite(x), finite(W));
  const sick = (i: number) => [3, 6].includes(Math.floor(i / c.N)) || [5, 35].includes(i % c.N);
  expect(y.map((value, i) => Number(Number.isFinite(value) === sick(i)))).toEqual(new Float32Array(y.length));
  expectClose(
    finite(y),
    want.map((value, i) => (sick(i) ? 0 : value)),
    5e-2,
  );
});
