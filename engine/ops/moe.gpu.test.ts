// Mixtures of experts against their twin: routing with ties, one token and several, weights in shards and in blocks.
import { describe, expect, test, vi } from "vitest";
import { guises, noise, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { permanent, weightRowBytes, type Tensor, type WeightFormat } from "../gpu/tensor.ts";
import * as twin from "../reference/moe.ts";
import { kept } from "./kept.fixture.ts";
import { experts, mixExperts, routeExperts, type Routing } from "./moe.ts";

vi.setConfig({ testTimeout: 300_000 }); // a software adapter compiles for long on a busy machine

const device = await testGpu();

function tensor(gpu: Gpu, shape: number[], data: Float32Array | Uint32Array): Tensor {
  const value = permanent(gpu, "test", shape, data);
  return kept(value);
}

/** Rows beyond the run's tokens must not matter. */
function rows(gpu: Gpu, values: Float32Array<ArrayBuffer>, capacity: number, C: number): Tensor {
  return tensor(gpu, [capacity, C], poisoned(values, capacity, C));
}

describe.each(guises(device))("%s", (_, gpu) => {
  test.each([true, false])("routing, shares of the chosen ones: %s", async (normalised) => {
    for (const [T, E, used] of [
      [1, 5, 5],
      [7, 70, 3],
    ] as const) {
      const logits = noise(T * E, E);
      logits[E - 1] = logits[0] = Math.max(...logits.subarray(0, E)); // a tie
      const capacity = T === 1 ? 1 : T + 2;
      const given = rows(gpu, logits, capacity, E);
      const settings = { experts: E, used, normalised };
      const [ids, shares] = await runOps(gpu, { capacity, tokens: T }, (pass) => {
        const routing = routeExperts(pass, given, settings);
        return [routing.ids, routing.shares];
      });
      const want = twin.route(logits, { T, E, used, normalised });
      expect([...ids!.subarray(0, T * used)]).toEqual([...want.ids]);
      expectClose(shares!.subarray(0, T * used), want.shares, 1e-6);
    }
  });

  test("a NaN among the logits is chosen last", async () => {
    const logits = Float32Array.of(1, NaN, 3, 2);
    const settings = { experts: 4, used: 4, normalised: true };
    const [ids] = await runOps(gpu, { capacity: 1 }, (pass) => {
      return [routeExperts(pass, tensor(gpu, [1, 4], logits), settings).ids];
    });
    expect([...ids!]).toEqual([2, 3, 0, 1]);
  });

  /** [T, E, used, K, I, N]; many tokens of few experts fill tiles, few of many leave them open. */
  const sizes = [
    [1, 6, 3, 24, 10, 14],
    [9, 5, 2, 24, 10, 14],
    [3, 40, 4, 70, 6, 9],
  ] as const;

  async function compared(
    [T, E, used, K, I, N]: readonly [number, number, number, number, number, number],
    format: WeightFormat,
    shardRows = 10_000,
    change: (routing: Routing) => Routing = (routing) => routing,
  ) {
    const up = pack(format, noise(E * 2 * I * K, 3), K);
    const down = pack(format, noise(E * N * I, 4), I);
    const limit = (width: number) => shardRows * weightRowBytes(format, width);
    const Wup = weightOf(gpu, [E * 2 * I, K], format, up.bytes, limit(K));
    const Wdown = weightOf(gpu, [E * N, I], format, down.bytes, limit(I));
    for (const weight of [Wup, Wdown]) kept(weight);
    const capacity = T === 1 ? 1 : T + 2;
    const [logits, x] = [noise(T * E, 1), noise(T * K, 2)];
    const settings = { experts: E, used, normalised: true };
    const [given, xs] = [rows(gpu, logits, capacity, E), rows(gpu, x, capacity, K)];
    const [y] = await runOps(gpu, { capacity, tokens: T }, (pass) => {
      const routing = change(routeExperts(pass, given, settings));
      return [experts(pass, xs, Wup, Wdown, routing, settings)];
    });
    const { ids } = twin.route(logits, { T, E, used, normalised: true });
    const want = twin.experts(x, up.values, down.values, ids, { K, I, N, used });
    return { got: y!.subarray(0, want.length), want, shards: Wup.shards.length };
  }

  test.each(sizes)("experts: T %i, E %i, used %i, K %i, I %i, N %i", async (...size) => {
    const { got, want } = await compared(size, "f32");
    expectClose(got, want, 1e-4);
  });

  test("weights in shards, that begin within an expert", async () => {
    const { got, want, shards } = await compared([5, 6, 3, 24, 10, 14], "f32", 24);
    expect(shards).toBe(5);
    expectClose(got, want, 1e-4);
  });

  test.each(["bf16", "q4_k"] as const)("weights in %s", async (format) => {
    const { got, want } = await compared([6, 3, 2, 256, 256, 20], format);
    expectClose(got, want, 1e-3);
  });

  test("other experts would be seen", async () => {
    const swapped = ({ ids, shares }: Routing): Routing => ({ ids: shares, shares: ids, sorted: undefined });
    const { got, want } = await compared([1, 6, 3, 24, 10, 14], "f32", 10_000, (routing) => ({
      ...swapped(routing),
      ids: tensor(gpu, [1, 3], Uint32Array.of(5, 5, 5)),
    }));
    expect(() => expectClose(got, want, 1e-4)).toThrow();
  });

  test("the mixture, with and without a part that all tokens share", async () => {
    const [T, C, used] = [3, 70, 2];
    const [x, parts, shares] = [noise(T * C, 1), noise(T * used * C, 2), noise(T * used, 3)];
    const shared = { gate: Float32Array.of(0.5, -200, 3), everyone: noise(T * C, 4) };
    const [xs, ps, ss] = [
      tensor(gpu, [T, C], x),
      tensor(gpu, [T * used, C], parts),
      tensor(gpu, [T, used], shares),
    ];
    const given = { gate: tensor(gpu, [T, 1], shared.gate), everyone: tensor(gpu, [T, C], shared.everyone) };
    const routing: Routing = { ids: ss, shares: ss, sorted: undefined };
    const [plain, both, part] = await runOps(gpu, { capacity: T }, (pass) => [
      mixExperts(pass, xs, ps, routing),
      mixExperts(pass, xs, ps, routing, given),
      mixExperts(pass, undefined, ps, routing, given),
    ]);
    expectClose(plain!, twin.mix(x, parts, shares, { T, C, used }), 1e-5);
    expectClose(both!, twin.mix(x, parts, shares, { T, C, used }, shared), 1e-5);
    const nothing = new Float32Array(T * C);
    expectClose(part!, twin.mix(nothing, parts, shares, { T, C, used }, shared), 1e-5);
    expect(() => expectClose(part!, both!, 1e-5)).toThrow();
  });
});
