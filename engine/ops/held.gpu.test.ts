// Kernels that are held to a width compute, bit for bit, what they compute where it is the only one: on an adapter with one
// width that is taken for one with several.
import { expect, test as anywhere, vi } from "vitest";
import { asCard, held, noise, pack, watchHeld } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { permanent } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import { matvecWays } from "./cards.ts";
import { deltaWidths, gatedNorm } from "./delta.ts";
import { kept } from "./kept.fixture.ts";
import { normLinear } from "./linear.ts";
import { experts, routeExperts } from "./moe.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu();
const test = anywhere.skipIf(!device.device.features.has("subgroup-size-control"));

const given = (gpu: Gpu, shape: number[], seed: number) =>
  kept(
    permanent(
      gpu,
      "given",
      shape,
      noise(
        shape.reduce((a, b) => a * b),
        seed,
      ),
    ),
  );

type Values = Float32Array | Uint32Array;

/** Runs of an op on a device. */
type Runs = (gpu: Gpu) => Promise<Values[]>;

const compiled = watchHeld(device);

async function expectSame(gpu: Gpu, kernels: readonly string[], runs: Runs): Promise<void> {
  const want = await runs(gpu);
  const before = compiled.length;
  const got = await runs(held(gpu));
  expect(got).toEqual(want);
  expect(want.every((values) => values.some((value) => value !== 0))).toBe(true);
  expect(compiled.slice(before).filter(({ held }) => !held)).toEqual([]);
  const names = compiled.filter(({ held }) => held).map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining([...kernels]));
}

const normed = { eps: 1e-6, offset: 1 } as const;

function product(T: number): Runs {
  const [K, N] = [512, 70];
  return async (gpu) => {
    const x = given(gpu, [T, K], 1);
    const W = kept(weightOf(gpu, [N, K], "bf16", pack("bf16", noise(N * K, 2), K).bytes));
    const w = given(gpu, [K], 3);
    return runOps(gpu, { capacity: T }, (pass) => [normLinear(pass, x, w, normed, W)]);
  };
}

test.each(["64 lanes, 1", "32 lanes, 2"])("a card's mat-vec: %s", async (way) => {
  const card = { ...asCard(device), tuning: Tuning.only(way) };
  await expectSame(card, ["matvec"], product(1));
});

test("a card's mat-vec that sums in workgroup memory, the same sums in another order", async () => {
  const way = matvecWays(held(asCard(device)), 512).find(({ reduce }) => reduce === "reduce/lots_workgroup")!;
  const card = { ...held(asCard(device)), tuning: Tuning.only(way.name) };
  const before = compiled.length;
  const [got] = await product(1)(card);
  expect(compiled).toHaveLength(before);
  const [want] = await product(1)({ ...card, tuning: Tuning.only("32 lanes, 1") });
  expectClose(got!, want!, 1e-4);
});

test("a processor's products", async () => {
  await expectSame(device, [], product(1));
  await expectSame(device, ["matmul_lanes"], product(9));
});

test("a card's norm behind the delta rule", async () => {
  const config = { keyHeads: 1, valueHeads: 2, keyDim: 32, valueDim: 40, conv: 4 };
  const { row, values } = deltaWidths(config);
  const T = 5;
  await expectSame(asCard(device), ["gated_norm"], (gpu) => {
    const [o, u, norm] = [given(gpu, [T, values], 4), given(gpu, [T, row], 5), given(gpu, [40], 6)];
    return runOps(gpu, { capacity: T }, (pass) => [gatedNorm(pass, o, u, { norm, eps: 1e-6 }, config)]);
  });
});

test("a card's experts", async () => {
  const [T, E, used, K, I] = [5, 4, 2, 24, 10];
  await expectSame(asCard(device), ["moe_matvec"], (gpu) => {
    const weight = (rows: number, width: number, seed: number) =>
      kept(weightOf(gpu, [rows, width], "bf16", pack("bf16", noise(rows * width, seed), width).bytes));
    const [up, down] = [weight(E * 2 * I, K, 8), weight(E * K, I, 9)];
    const [logits, x] = [given(gpu, [T, E], 10), given(gpu, [T, K], 11)];
    const settings = { experts: E, used, normalised: true };
    return runOps(gpu, { capacity: T }, (pass) => [
      experts(pass, x, up, down, routeExperts(pass, logits, settings), settings),
    ]);
  });
});
