// Mat-vecs in bytes against their twin, x rounded as it is rounded there; on an adapter that keeps weights in tiles, the only
// one that has them.
import { availableParallelism } from "node:os";
import { describe, expect, test, vi } from "vitest";
import { largestCodes, noise, pack, poisoned, relative } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import { blockFormats, type BlockType } from "../formats/blocks/format.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { isBlockFormat, permanent, weightFormats, type Weight } from "../gpu/tensor.ts";
import { likesTiles, texels, tileLayout } from "../gpu/tiles.ts";
import { Tuning } from "../gpu/tuning.ts";
import * as reference from "../reference/linear.ts";
import { kept } from "./kept.fixture.ts";
import { linear, normLinear } from "./linear.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu();
const inBytes: Gpu = { ...device, tuning: Tuning.only("bytes") };

/** y of T tokens, each of a sequence of its own. */
async function run(gpu: Gpu, W: Weight, x: Float32Array, T: number): Promise<Float32Array> {
  const [N, K] = W.shape;
  const capacity = T === 1 ? 1 : 4;
  const xs = kept(permanent(gpu, "x", [capacity, K], poisoned(x, capacity, K)));
  const each = Array.from({ length: T }, (_, i) => ({ row: i, slot: i }));
  const [y] = await runOps(gpu, { capacity, ...(T > 1 ? { each } : {}) }, (pass) => [linear(pass, xs, W)]);
  return (y as Float32Array).subarray(0, T * N);
}

const formats = weightFormats.filter(isBlockFormat);
const typeOf = (format: string) => format.toUpperCase() as BlockType;

describe.runIf(likesTiles(device))("in tiles", () => {
  test.each(formats)("%s: the twin's sums, and each token's are its own", async (format) => {
    const K = blockFormats[typeOf(format)].values === 32 ? 352 : 512; // a second chunk with idle lanes, or two
    const [T, N] = [3, 83];
    const { bytes, values } = pack(format, noise(N * K, 2 + K), K);
    const W = kept(weightOf(inBytes, [N, K], format, bytes, (56 * bytes.length) / N)); // shards of 56 rows
    const x = noise(T * K, 7);
    const y = await run(inBytes, W, x, T);
    const want = reference.linear(reference.inBytes(x), values, { T, K, N });
    expect(relative(y, want)).toBeLessThan(1e-6);
    const lost = relative(y, reference.linear(x, values, { T, K, N }));
    expect(lost, "x is rounded").toBeGreaterThan(2e-3);
    expect(lost, "but not more").toBeLessThan(1.5e-2);
    for (const gpu of [inBytes, device]) {
      const together = gpu === inBytes ? y : await run(gpu, W, x, T);
      expect(await run(gpu, W, x.slice(K, 2 * K), 1)).toEqual(together.slice(N, 2 * N));
    }
  });

  test.each(["bf16", "q4_1", "q6_k"] as const)(
    "%s in high tiles, the last of which is not full",
    async (format) => {
      const [K, N] = [512, 4128];
      const { height } = tileLayout(format, K, N);
      if (availableParallelism() <= 32)
        expect([height > 32, N % height > 0], `${height} rows a tile`).toEqual([true, true]);
      const { bytes, values } = pack(format, noise(N * K, 2 + K), K);
      const W = kept(weightOf(device, [N, K], format, bytes));
      const x = noise(3 * K, 7);
      for (const gpu of [inBytes, device]) {
        const given = gpu === inBytes && format !== "bf16" ? reference.inBytes(x) : x;
        const want = reference.linear(given, values, { T: 3, K, N });
        expect(relative(await run(gpu, W, x, 3), want)).toBeLessThan(1e-6);
        expect(relative(await run(gpu, W, x.slice(0, K), 1), want.slice(0, N))).toBeLessThan(1e-6);
      }
    },
  );

  test("runs that go on in the texture's next row", async () => {
    const [K, N] = [256, 515];
    const { bytes, values } = pack("q8_0", noise(N * K, 4), K);
    const run16 = 16 * 8; // quads of eight rows
    const tile = tileLayout("q8_0", K, N).height * 17;
    expect(Array.from({ length: 17 }, (_, i) => (i * tile) % texels).some((at) => at > texels - run16)).toBe(
      true,
    );
    const W = kept(weightOf(inBytes, [N, K], "q8_0", bytes));
    const x = noise(K, 7);
    const want = reference.linear(reference.inBytes(x), values, { T: 1, K, N });
    expect(relative(await run(inBytes, W, x, 1), want)).toBeLessThan(1e-6);
  });

  // Every code as far from zero as it can be, every x at 127: what is added before the lower half is cut off must fit.
  test.each(formats)("%s: the largest sums there are", async (format) => {
    const { K, bytes, values } = largestCodes(format);
    const W = kept(weightOf(inBytes, [2, K], format, bytes));
    for (const sign of [1, -1]) {
      const x = new Float32Array(K).fill(sign);
      const want = reference.linear(x, values, { T: 1, K, N: 2 });
      for (const gpu of [inBytes, device]) expect(relative(await run(gpu, W, x, 1), want)).toBeLessThan(1e-6);
    }
  });

  test("behind a norm; zeros; and what is not finite is not lost", async () => {
    const [K, N] = [512, 40];
    const { bytes, values } = pack("q4_k", noise(N * K, 3), K);
    const W = kept(weightOf(inBytes, [N, K], "q4_k", bytes));
    const gain = noise(K, 4);
    const w = kept(permanent(inBytes, "gain", [K], gain));
    const product = async (x: Float32Array<ArrayBuffer>) => {
      const xs = kept(permanent(inBytes, "x", [1, K], x));
      const norm = { eps: 1e-5, offset: 1 } as const;
      const [y] = await runOps(inBytes, { capacity: 1 }, (pass) => [normLinear(pass, xs, w, norm, W)]);
      return y as Float32Array;
    };
    const x = noise(K, 5);
    const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / K + 1e-5);
    const given = x.map((value, i) => value * (1 + gain[i]!)); // the root comes at the end
    const want = reference.linear(reference.inBytes(given), values, { T: 1, K, N });
    expect(
      relative(
        await product(x),
        want.map((value) => value * scale),
      ),
    ).toBeLessThan(1e-6);
    expect((await product(new Float32Array(K))).every((value) => value === 0)).toBe(true);
    for (const odd of [NaN, Infinity]) {
      const y = await product(noise(K, 6).fill(odd, 100, 101));
      expect(
        y.some((value) => Number.isFinite(value)),
        String(odd),
      ).toBe(false);
    }
  });

  test("never in strict mode, and only where it is known to be faster", async () => {
    const [K, N] = [352, 16];
    const { bytes, values } = pack("q8_0", noise(N * K, 3), K);
    const x = noise(K, 5);
    for (const tuning of [
      new Tuning({ strict: true }, { shipped: { "matvec q8_0 *": "bytes" } }),
      new Tuning(),
    ]) {
      const gpu = { ...device, tuning };
      const y = await run(gpu, kept(weightOf(gpu, [N, K], "q8_0", bytes)), x, 1);
      expect(relative(y, reference.linear(x, values, { T: 1, K, N }))).toBeLessThan(1e-6);
    }
  });
});
