// The tower's kernels against their twins: sizes that no tile divides, NaN behind the run's patches.
import { describe, expect, test } from "vitest";
import { guises, noise, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { permanent, type Tensor, type WeightFormat } from "../gpu/tensor.ts";
import * as linearTwin from "../reference/linear.ts";
import * as reference from "../reference/vision.ts";
import { kept } from "./kept.fixture.ts";
import { linear } from "./linear.ts";
import {
  addPositions,
  layerNorm,
  placePictures,
  visionAttention,
  visionRope,
  type VisionPlaces,
} from "./vision.ts";

const device = await testGpu();

function given(shape: readonly number[], data: Float32Array | Uint32Array, gpu = device): Tensor {
  const tensor = permanent(gpu, "given", shape, data);
  return kept(tensor);
}

/** u32 rows, the spare ones far out of range. */
function padded(values: Uint32Array, capacity: number, width: number): Uint32Array<ArrayBuffer> {
  const all = new Uint32Array(capacity * width).fill(0x7fffffff);
  all.set(values);
  return all;
}

/** Runs an op for `tokens` of `capacity` and checks the rows of the run, and that the others were left alone. */
async function check(
  gpu: Gpu,
  tokens: number,
  capacity: number,
  want: Float32Array,
  tolerance: number,
  record: (pass: Pass) => Tensor,
) {
  const [y] = await runOps(gpu, { capacity, tokens }, (pass) => [record(pass)]);
  expectClose((y as Float32Array).subarray(0, want.length), want, tolerance);
  return (y as Float32Array).subarray(want.length);
}

const untouched = (rest: Float32Array) => expect(rest.every((value) => value === 0)).toBe(true);

describe.each(guises(device))("%s", (_, gpu) => {
  test.each([
    [1, 8],
    [5, 96],
    [7, 1152],
    [3, 2056],
  ])("layer norm of %i × %i", async (T, C) => {
    const x = noise(T * C, C).map((v) => v + 30); // a mean far from 0: E[x²] − mean² would lose the variance
    const norm = noise(2 * C, 3);
    const want = reference.layerNorm(x, norm, { T, C, eps: 1e-6 });
    const xs = given([T + 2, C], poisoned(x, T + 2, C), gpu);
    const record = (pass: Pass) => layerNorm(pass, xs, given([2 * C], norm, gpu), 1e-6);
    untouched(await check(gpu, T, T + 2, want, 5e-5, record));
  });

  test.each(["f32", "f16", "bf16"] as const)(
    "both GELUs behind a matrix in %s",
    async (format: WeightFormat) => {
      const [K, N] = [40, 37];
      const W = pack(format, noise(K * N, 1), K);
      const weight = weightOf(gpu, [N, K], format, W.bytes);
      kept(weight);
      const bias = noise(N, 2);
      for (const T of [1, 11]) {
        const x = noise(T * K, 3);
        const u = linearTwin.linear(x, W.values, { T, K, N }, { bias });
        const xs = given([T, K], x, gpu);
        const run = (activation: "gelu_tanh" | "gelu_erf") => (pass: Pass) =>
          linear(pass, xs, weight, { bias: given([N], bias, gpu), activation });
        const [tanh, erf] = [u.map(reference.geluTanh), u.map(reference.geluErf)];
        await check(gpu, T, T, tanh, 2e-5, run("gelu_tanh"));
        await check(gpu, T, T, erf, 2e-5, run("gelu_erf"));
        // Known bad: the one for the other. They differ by up to 5e-4, which only f32 shows.
        await expect(check(gpu, T, T, erf, 2e-5, run("gelu_tanh"))).rejects.toThrow("error");
      }
    },
  );
});

test("GELU from end to end of f32", async () => {
  const inputs = Float32Array.from({ length: 401 }, (_, i) => (i - 200) / 20);
  const far = Float32Array.from([-1e30, -1e10, -300, -13.5, -1e-30, 0, 1e-30, 13.5, 300, 1e10, 1e30]);
  const bias = new Float32Array([...inputs, ...far]);
  const N = bias.length;
  const zero = weightOf(device, [N, 8], "f32", new Uint8Array(N * 8 * 4));
  kept(zero);
  for (const [activation, twin] of [
    ["gelu_tanh", reference.geluTanh],
    ["gelu_erf", reference.geluErf],
  ] as const) {
    const [y] = await runOps(device, { capacity: 1 }, (pass) => [
      linear(pass, given([1, 8], noise(8, 1)), zero, { bias: given([N], bias), activation }),
    ]);
    const want = bias.map((u) => (Math.abs(u) > 1e4 ? Math.max(u, 0) : twin(u)));
    expectClose(y as Float32Array, want, 1e-6, activation);
  }
});

test("positions: four corners of the learned grid, by weight", async () => {
  const [T, capacity, C, rows] = [13, 17, 44, 23];
  const [x, table] = [noise(T * C, 1), noise(rows * C, 2)];
  const corners = Uint32Array.from({ length: 4 * T }, (_, i) => (i * 7) % rows);
  const weights = noise(4 * T, 3);
  const places = {
    corners: given([capacity, 4], padded(corners, capacity, 4)),
    cornerWeights: given([capacity, 4], poisoned(weights, capacity, 4)),
  } as VisionPlaces;
  const want = reference.addPositions(x, table, { corners, weights }, { T, C });
  const xs = given([capacity, C], poisoned(x, capacity, C));
  untouched(
    await check(device, T, capacity, want, 1e-5, (pass) =>
      addPositions(pass, xs, given([rows, C], table), places),
    ),
  );
});

const heads = [
  { T: 5, heads: 2, headDim: 32 },
  { T: 33, heads: 3, headDim: 32 },
  { T: 70, heads: 2, headDim: 64 },
  { T: 131, heads: 3, headDim: 72 },
  { T: 64, heads: 1, headDim: 4 },
  { T: 97, heads: 2, headDim: 128 },
];

test.each(heads)("rope of $T patches, $heads heads of $headDim", async (shape) => {
  const { T, heads, headDim: D } = shape;
  const [capacity, lines, width] = [T + 3, 11, 3 * heads * D];
  const qkv = noise(T * width, 1);
  const table = noise((lines * D) / 2, 2);
  const placed = Uint32Array.from({ length: 2 * T }, (_, i) => (i * 5 + (i % 2)) % lines);
  const places = {
    places: given([capacity, 2], padded(placed, capacity, 2)),
    table: given([lines, D / 4, 2], table),
  } as VisionPlaces;
  const want = reference.visionRope(qkv, shape, { places: placed, table });
  const xs = () => given([capacity, width], poisoned(qkv, capacity, width));
  const rest = await check(device, T, capacity, want, 1e-5, (pass) => visionRope(pass, xs(), shape, places));
  expect(rest.every(Number.isNaN)).toBe(true);
  const swapped = reference.visionRope(qkv, shape, { places: placed.map((_, i) => placed[i ^ 1]!), table });
  const wrong = check(device, T, capacity, swapped, 1e-5, (pass) => visionRope(pass, xs(), shape, places));
  await expect(wrong).rejects.toThrow("error");
});

/** The other kernels once: they take long to compile where they are not meant to run. */
const everyGuise = guises(device).flatMap(([name, gpu], i) =>
  heads.filter(({ headDim }) => i === 0 || headDim === 72).map((shape) => ({ name, gpu, shape, ...shape })),
);

test.each(everyGuise)("attention of $T patches, $heads heads of $headDim, $name", async ({ gpu, shape }) => {
  const { T, heads, headDim: D } = shape;
  const width = 3 * heads * D;
  const qkv = noise(T * width, 4);
  const want = reference.visionAttention(qkv, shape);
  for (const capacity of [T, T + 40]) {
    const xs = given([capacity, width], poisoned(qkv, capacity, width), gpu);
    untouched(await check(gpu, T, capacity, want, 2e-5, (pass) => visionAttention(pass, xs, shape)));
  }
  // Known bad: a patch that does not see the last one.
  const blind = reference.visionAttention(qkv.slice(0, (T - 1) * width), { ...shape, T: T - 1 });
  expect(() => expectClose(want.subarray(0, blind.length), blind, 2e-5)).toThrow("error");
});

test("attention to one patch among many, and scores that would overflow exp", async () => {
  const shape = { T: 150, heads: 1, headDim: 72 };
  const width = 3 * 72;
  const qkv = noise(shape.T * width, 9).map((v, i) => (i % width < 144 ? v * 12 : v));
  const want = reference.visionAttention(qkv, shape);
  const xs = given([150, width], qkv);
  await check(device, 150, 150, want, 1e-4, (pass) => visionAttention(pass, xs, shape));
});

test("pictures take the rows of their tokens", async () => {
  const [T, capacity, C] = [9, 12, 50];
  const [x, pictures] = [noise(T * C, 1), noise(T * C, 2)];
  const chosen = Uint32Array.from([0, 1, 1, 0, 1, 0, 0, 1, 0]);
  const want = reference.placePictures(x, pictures, chosen, { C });
  const xs = given([capacity, C], poisoned(x, capacity, C));
  const record = (pass: Pass) =>
    placePictures(
      pass,
      xs,
      given([capacity, C], poisoned(pictures, capacity, C)),
      given([capacity], padded(chosen, capacity, 1)),
    );
  await check(device, T, capacity, want, 0, record);
});

test("what does not fit is refused", async () => {
  const attempt = (record: (pass: Pass) => Tensor) =>
    runOps(device, { capacity: 4 }, (pass) => [record(pass)]);
  const qkv = given([4, 3 * 6], noise(72, 1));
  await expect(attempt((pass) => visionAttention(pass, qkv, { heads: 1, headDim: 6 }))).rejects.toThrow(
    "heads 6 wide",
  );
  const x = given([4, 12], noise(48, 1));
  await expect(attempt((pass) => layerNorm(pass, x, given([24], noise(24, 1)), 1e-6))).rejects.toThrow(
    "12 wide",
  );
});
