// linear and swiglu on every variant against their twins; lm_head against a golden in golden.gpu.test.ts.
import { describe, expect, test } from "vitest";
import { asCard, guises, noise, pack, poisoned, withoutSubgroups } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { permanent, type WeightFormat } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import * as reference from "../reference/linear.ts";
import { rmsNorm } from "../reference/norm.ts";
import { kept } from "./kept.fixture.ts";
import { linear, normLinear, normSwiglu, swiglu, type LinearOptions } from "./linear.ts";

const device = await testGpu();

interface Case {
  T: number;
  K: number;
  N: number;
  format?: WeightFormat;
  capacity?: number;
  bias?: boolean;
  add?: boolean;
  swiglu?: boolean;
  /** Bytes of a shard. */
  limit?: number;
}

/** Runs a case: what the kernels give for its tokens, what the twin gives, and all that the twin was given. */
async function run(gpu: Gpu, c: Case) {
  const { T, K, N, format = "bf16" } = c;
  const capacity = T === 1 ? 1 : (c.capacity ?? T + 3);
  const x = noise(T * K, 1 + T);
  const { bytes, values: W } = pack(format, noise(N * K, 2 + K), K);
  const bias = c.bias ? noise(N, 3) : undefined;
  const add = c.add ? noise(T * N, 4) : undefined;
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const weight = kept(weightOf(gpu, [N, K], format, bytes, c.limit));
  const options: LinearOptions = {
    ...(bias ? { bias: kept(permanent(gpu, "bias", [N], bias)) } : {}),
    ...(add ? { add: kept(permanent(gpu, "add", [capacity, N], poisoned(add, capacity, N))) } : {}),
  };
  const [y] = await runOps(gpu, { capacity, tokens: T }, (pass) => [
    c.swiglu ? swiglu(pass, xs, weight) : linear(pass, xs, weight, options),
  ]);
  const given = { ...(bias ? { bias } : {}), ...(add ? { add } : {}) };
  const want = c.swiglu ? reference.swiglu(x, W, c) : reference.linear(x, W, c, given);
  return { y: y as Float32Array, want, x, W, shards: weight.shards.length };
}

async function check(gpu: Gpu, c: Case) {
  const { y, want, shards } = await run(gpu, c);
  expectClose(y.subarray(0, want.length), want, 1e-4, JSON.stringify(c));
  expect(
    y.subarray(want.length).every((value) => value === 0),
    "rows beyond the run's tokens are left alone",
  ).toBe(true);
  return { shards };
}

// The tiles are a card's; software adapters take seconds to compile each, so for them a few shapes must do.
describe.each(guises(device))("%s", (_, gpu) => {
  const all = gpu === device;

  test.each([1, 2, 3, 5, 7, 8, 9, 17, 33, 65, 130, 257])("T = %i", async (T) => {
    await check(gpu, { T, K: 104, N: 75, bias: true, add: true });
    await check(gpu, { T, K: 72, N: 46, swiglu: true });
  });

  test("a run in a plan for a longer one", async () => {
    await check(gpu, { T: 18, capacity: 400, K: 104, N: 75, bias: true, add: true });
  });

  test.each(all ? [2, 30, 70, 322, 1032] : [70])("K = %i, which no vector or no tile divides", async (K) => {
    await check(gpu, { T: 1, K, N: 9 });
    await check(gpu, { T: 6, K, N: 9 });
  });

  test.each(["f32", "f16"] as const)("%s", async (format) => {
    for (const K of all ? [format === "f32" ? 7 : 10, 40] : [40]) {
      await check(gpu, { T: 1, K, N: 9, format });
      await check(gpu, { T: 6, K, N: 9, format });
    }
  });

  test.each(all ? [1, 3, 66] : [3])("N = %i, which no tile divides", async (N) => {
    await check(gpu, { T: 1, K: 24, N });
    await check(gpu, { T: 19, K: 24, N, add: true });
  });

  test("enough tiles for the large ones", async () => {
    await check(gpu, { T: 66, K: 40, N: 4101, bias: true }); // 2 × 65 of 64
  });

  test("shards", async () => {
    const limit = 40 * 2 * 40; // 40 rows
    for (const T of all ? [1, 21] : [21]) {
      expect((await check(gpu, { T, K: 40, N: 75, limit, bias: true, add: true })).shards).toBe(2);
      if (all) expect((await check(gpu, { T, K: 40, N: 78, limit, swiglu: true })).shards).toBe(2);
    }
  });
});

test.each([
  ["as it is", device],
  ["without subgroups", withoutSubgroups(device)],
  ["as a card with subgroups", asCard(device)],
])("a norm on the way, %s", async (_, gpu) => {
  const shapes = [
    { T: 1, K: 40, N: 532, offset: 1 }, // several fours of rows to a workgroup, the last one short
    { T: 1, K: 70, N: 46, offset: 0 },
    { T: 6, K: 40, N: 46, offset: 1 },
  ] as const;
  for (const { T, K, N, offset } of gpu === device ? shapes : shapes.slice(0, 1)) {
    const x = noise(T * K, 1).map((value) => 3 * value); // so that a lost scale would be seen
    const w = noise(K, 2);
    const { bytes, values } = pack("bf16", noise(N * K, 3), K);
    const bias = noise(N, 4);
    const [xs, ws] = [kept(permanent(gpu, "x", [T, K], x)), kept(permanent(gpu, "w", [K], w))];
    const [weight, bs] = [
      kept(weightOf(gpu, [N, K], "bf16", bytes)),
      kept(permanent(gpu, "bias", [N], bias)),
    ];
    const norm = { eps: 1e-2, offset };
    const [y, z] = await runOps(gpu, { capacity: T }, (pass) => [
      normLinear(pass, xs, ws, norm, weight, { bias: bs }),
      normSwiglu(pass, xs, ws, norm, weight),
    ]);
    const normed = (eps: number) => rmsNorm(x, w, { T, C: K, eps, offset });
    const want = (eps: number) => reference.linear(normed(eps), values, { T, K, N }, { bias });
    expectClose(y!, want(1e-2), 1e-4, `K=${K} N=${N}`);
    expect(() => expectClose(y!, want(1e-6), 1e-4)).toThrow();
    expectClose(z!, reference.swiglu(normed(1e-2), values, { T, K, N }), 2e-4, `swiglu K=${K} N=${N}`);
  }
});

test.each([2, 4])("tiles of which each is shared by %i workgroups", async (splits) => {
  const card = asCard(withoutSubgroups(device));
  const gpu = { ...card, tuning: Tuning.only(`tiles of 32, ${splits} splits`) };
  const K = splits * 256 + 40; // not in equal parts
  expect((await check(gpu, { T: 37, K, N: 46, limit: 40 * 2 * K, bias: true, add: true })).shards).toBe(2);
  if (splits === 2) await check(gpu, { T: 37, K, N: 46, swiglu: true });
});

test("without subgroups, on few lanes", async () => {
  await check(withoutSubgroups(device), { T: 1, K: 104, N: 75, add: true });
});

test("more rows than one axis of a grid holds workgroups for", async () => {
  await check(device, { T: 1, K: 8, N: 4 * 65_535 + 21 }); // 262,144 words of vocabulary are one workgroup too many
});

test("the extremes of the 16-bit formats, subnormals among them", async () => {
  const K = 16;
  const weights = [65504, -65504, 2 ** -14, 2 ** -24, -(2 ** -24), 3 * 2 ** -24, 0, -0, 1, 0.333251953125];
  const W = Float32Array.from({ length: 3 * K }, (_, i) => weights[i % weights.length]!);
  for (const format of ["f16", "bf16"] as const) {
    const packed = pack(format, W, K);
    const weight = kept(weightOf(device, [3, K], format, packed.bytes));
    for (let k = 0; k < 10; k++) {
      const x = new Float32Array(K);
      x[k] = 2 ** 20; // one at a time, so that nothing drowns
      const [y] = await runOps(device, { capacity: 1 }, (pass) => [
        linear(pass, kept(permanent(device, "x", [1, K], x)), weight),
      ]);
      expectClose(y!, reference.linear(x, packed.values, { T: 1, K, N: 3 }), 1e-7, `${format} k=${k}`);
    }
  }
});

test("gates far out on both sides", async () => {
  const gates = [-1e4, -200, -88.8, -20, 0, 20, 88.8, 200, 1e4];
  const W = new Float32Array(2 * gates.length * 8);
  gates.forEach((gate, i) => {
    W[2 * i * 8] = gate;
    W[(2 * i + 1) * 8] = 1.5;
  });
  const x = noise(8, 5);
  x[0] = 1;
  const weight = kept(weightOf(device, [2 * gates.length, 8], "f32", new Uint8Array(W.buffer)));
  const [y] = await runOps(device, { capacity: 1 }, (pass) => [
    swiglu(pass, kept(permanent(device, "x", [1, 8], x)), weight),
  ]);
  expectClose(y!, reference.swiglu(x, W, { T: 1, K: 8, N: 2 * gates.length }), 1e-6);
});

test("a lost tail of K, swapped gate and up, a forgotten bias: each would be seen", async () => {
  for (const T of [1, 10]) {
    const c = { T, K: 70, N: 46 };
    const { y, x, W } = await run(device, c);
    const tailless = x.map((value, i) => (i % c.K < 64 ? value : 0));
    const got = y.subarray(0, T * c.N);
    expect(() => expectClose(got, reference.linear(tailless, W, c), 1e-4)).toThrow();
    expect(() => expectClose(got, reference.linear(x, W, c, { bias: noise(c.N, 3) }), 1e-4)).toThrow();

    const gated = await run(device, { ...c, swiglu: true });
    const swapped = gated.W.map((_, i) => gated.W[(Math.floor(i / c.K) ^ 1) * c.K + (i % c.K)]!);
    const mixed = gated.y.subarray(0, (T * c.N) / 2);
    expect(() => expectClose(mixed, reference.swiglu(x, swapped, c), 1e-4)).toThrow();
  }
});

test("shapes that do not fit are refused", async () => {
  const weight = kept(weightOf(device, [5, 8], "f32", new Uint8Array(5 * 8 * 4)));
  const attempt = (shape: number[]) =>
    runOps(device, { capacity: 4 }, (pass) => [linear(pass, permanent(device, "x", shape), weight)]);
  await expect(attempt([4, 10])).rejects.toThrow("expected shape [5, 10], got [5, 8]");
  await expect(attempt([3, 8])).rejects.toThrow("3 rows in a pass for 4 tokens");
});
