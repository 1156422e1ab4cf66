// Products in bytes against their twin, x rounded as it is rounded there; and that they are these products, not others.
import { describe, expect, test, vi } from "vitest";
import {
  asCard,
  largestCodes,
  noise,
  pack,
  poisoned,
  relative,
  withoutSubgroups,
} from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { permanent, type WeightFormat } from "../gpu/tensor.ts";
import { likesTiles } from "../gpu/tiles.ts";
import { Tuning } from "../gpu/tuning.ts";
import * as reference from "../reference/linear.ts";
import { rmsNorm } from "../reference/norm.ts";
import { kept } from "./kept.fixture.ts";
import { linear, normLinear, swiglu } from "./linear.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu();

// Tiles of 64 are the same file; software adapters take a minute to compile them.
const card = asCard(withoutSubgroups(device));
const lanes = { ...device, tuning: Tuning.only("bytes") };
const plain = { ...lanes, report: { ...device.report, name: "one that reads no textures" } };
const guises: [string, Gpu][] = [
  ["lanes", lanes],
  ...(likesTiles(device) ? [["lanes, from buffers", plain] as [string, Gpu]] : []),
  ["tiles of 32", { ...card, tuning: Tuning.only("bytes, tiles of 32") }],
];

interface Case {
  T: number;
  K: number;
  N: number;
  format: WeightFormat;
  ending?: "swiglu";
}

async function run(gpu: Gpu, { T, K, N, format, ending }: Case, x = noise(T * K, T)) {
  const capacity = T + 2;
  const { bytes, values: W } = pack(format, noise(N * K, 2 + K), K);
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const weight = kept(weightOf(gpu, [N, K], format, bytes, (24 * bytes.length) / N)); // shards of 24 rows
  const [y] = await runOps(gpu, { capacity, tokens: T }, (pass) => [
    ending === "swiglu" ? swiglu(pass, xs, weight) : linear(pass, xs, weight),
  ]);
  const width = ending === "swiglu" ? N / 2 : N;
  const twin = (given: Float32Array) =>
    ending === "swiglu" ? reference.swiglu(given, W, { T, K, N }) : reference.linear(given, W, { T, K, N });
  const all = y as Float32Array;
  expect(all.subarray(T * width).every((value) => value === 0)).toBe(true);
  return { y: all.subarray(0, T * width), want: twin(reference.inBytes(x)), exact: twin(x) };
}

describe.each(guises)("%s", (guise, gpu) => {
  const fives = ["q5_0", "q5_1", "q5_k"] as const;
  const more = guise.startsWith("lanes") ? ([...fives, "q6_k", "q3_k"] as const) : fives;
  const cutEach = (format: WeightFormat) => guise.startsWith("lanes") && format === "q8_0"; // products/bytes
  test.each<WeightFormat>(["q8_0", "q4_k", ...more])("%s", async (format) => {
    const { y, want, exact } = await run(gpu, { T: 19, K: format.endsWith("k") ? 512 : 352, N: 70, format });
    expect(relative(y, want)).toBeLessThan(cutEach(format) ? 1e-3 : 1e-6);
    const lost = relative(y, exact);
    expect(lost, "x is rounded").toBeGreaterThan(2e-3);
    expect(lost, "but not more").toBeLessThan(1.5e-2);
  });

  // Every code as far from zero as it can be, every x at ±127: what is added before a lower half is cut off must fit.
  test.each<WeightFormat>(["q4_0", "q4_1", "q8_0", "q4_k", ...more])(
    "%s: the largest sums",
    async (format) => {
      const { K, bytes, values } = largestCodes(format);
      const weight = kept(weightOf(gpu, [2, K], format, bytes));
      const x = Float32Array.from(
        { length: 4 * K },
        (_, i) => [1, -1, (-1) ** i, (-1) ** (i >> 1)][Math.floor(i / K)]!,
      );
      const xs = kept(permanent(gpu, "x", [4, K], x));
      const [y] = await runOps(gpu, { capacity: 4, tokens: 4 }, (pass) => [linear(pass, xs, weight)]);
      const want = reference.linear(x, values, { T: 4, K, N: 2 });
      expect(relative(y as Float32Array, want)).toBeLessThan(cutEach(format) ? 1e-3 : 1e-6);
    },
  );

  test("behind a norm", async () => {
    const [T, K, N, format] = [33, 352, 46, "q4_0"] as const;
    const { bytes, values } = pack(format, noise(N * K, 2 + K), K);
    const W = kept(weightOf(gpu, [N, K], format, bytes));
    const [x, gain] = [noise(T * K, 9), noise(K, 4)];
    const xs = kept(permanent(gpu, "x", [T + 2, K], poisoned(x, T + 2, K)));
    const w = kept(permanent(gpu, "gain", [K], gain));
    const norm = { eps: 1e-5, offset: 1 } as const;
    const [y] = await runOps(gpu, { capacity: T + 2, tokens: T }, (pass) => [
      normLinear(pass, xs, w, norm, W),
    ]);
    const normed = rmsNorm(x, gain, { T, C: K, ...norm });
    const got = (y as Float32Array).subarray(0, T * N);
    const want = reference.linear(reference.inBytes(normed), values, { T, K, N });
    expect(relative(got, want)).toBeLessThan(1e-3); // ties
    expect(relative(got, reference.linear(normed, values, { T, K, N }))).toBeGreaterThan(2e-3);
  });

  test("an ending, fewer tokens than a tile has, and what is not finite", async () => {
    const [T, K, N] = [5, 96, 46];
    const x = noise(T * K, 9);
    x.fill(0, K, 2 * K);
    x[5] = Infinity;
    x[2 * K + 40] = NaN;
    const format = "q4_0";
    const { y, want, exact } = await run(gpu, { T, K, N, format, ending: "swiglu" }, x);
    const row = (of: Float32Array, t: number) => of.subarray((t * N) / 2, ((t + 1) * N) / 2);
    for (const t of [0, 2])
      expect(
        row(y, t).every((value) => !Number.isFinite(value)),
        `row ${t}`,
      ).toBe(true);
    expect(row(y, 1).every((value) => value === 0)).toBe(true);
    for (const t of [3, 4]) {
      expectClose(row(y, t), row(want, t), 2e-4, `row ${t}`);
      expect(() => expectClose(row(y, t), row(exact, t), 2e-4)).toThrow();
    }
  });
});
