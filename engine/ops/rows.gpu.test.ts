// Row-wise ops (embed, rmsNorm, lastRow) against their twins on every variant.
import { describe, expect, test } from "vitest";
import { guises, noise, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { permanent, type Tensor } from "../gpu/tensor.ts";
import * as embedTwin from "../reference/embed.ts";
import * as normTwin from "../reference/norm.ts";
import { asDrawn, embed } from "./embed.ts";
import { kept } from "./kept.fixture.ts";
import { rmsNorm } from "./norm.ts";
import { lastRow } from "./rows.ts";

const device = await testGpu();

function tensor(gpu: Gpu, shape: number[], data: Float32Array | Uint32Array): Tensor {
  const value = permanent(gpu, "test", shape, data);
  return kept(value);
}

async function embedded(gpu: Gpu, ids: number[], N: number, C: number, format: "f32" | "f16" | "bf16") {
  const { bytes, values } = pack(format, noise(N * C, C), C);
  const table = weightOf(gpu, [N, C], format, bytes, C * (format === "f32" ? 4 : 2) * 16); // 16 rows
  kept(table);
  const capacity = ids.length + 2;
  const given = tensor(gpu, [capacity], Uint32Array.from([...ids, 3, 3]));
  const [y] = await runOps(gpu, { capacity, tokens: ids.length }, (pass) => [embed(pass, given, table)]);
  return { y: y as Float32Array, want: embedTwin.embed(ids, values, N, C), shards: table.shards.length };
}

describe.each(guises(device))("%s", (_, gpu) => {
  test.each(["f32", "f16", "bf16"] as const)("embed from a %s table in shards", async (format) => {
    const N = 53;
    const ids = [0, 52, 15, 16, 17, 47, 48, 16, N, 2 ** 32 - 1, 51];
    for (const C of [24, 70]) {
      const { y, want, shards } = await embedded(gpu, ids, N, C, format);
      expect(shards).toBe(4);
      expect(Array.from(y.subarray(0, want.length))).toEqual(Array.from(want)); // a copy is exact
      expect(y.subarray(want.length).every((value) => value === 0)).toBe(true);
    }
  });

  test("embed of what was drawn in a token's slot", async () => {
    const [N, C] = [53, 24];
    const { bytes, values } = pack("f32", noise(N * C, C), C);
    const table = weightOf(gpu, [N, C], "f32", bytes);
    kept(table);
    const ids = tensor(gpu, [3], Uint32Array.of(asDrawn, 7, asDrawn));
    const counts = tensor(
      gpu,
      [4, 5],
      Uint32Array.from({ length: 20 }, (_, i) => 2 * i),
    ); // their second column
    const each = [3, 0, 2].map((slot) => ({ slot, row: 9 }));
    const positions = tensor(gpu, [3, 3], new Uint32Array(9));
    const [y] = await runOps(gpu, { capacity: 3, each }, (pass) => [
      embed(pass, ids, table, { drawn: counts, positions }),
    ]);
    expect(Array.from(y!)).toEqual(Array.from(embedTwin.embed([32, 7, 22], values, N, C)));
  });

  test("embed moves the tokens of a run on, once, and none beyond the last row", async () => {
    const [N, C] = [53, 24];
    const { bytes } = pack("f32", noise(N * C, C), C);
    const table = weightOf(gpu, [N, C], "f32", bytes, bytes.byteLength / 3); // shards: each is a dispatch
    kept(table);
    const drawn = tensor(gpu, [4, 5], new Uint32Array(20));
    const first = 2 ** 32 - 1;
    const run = async (capacity: number, rows: number | undefined, each: { slot: number; row: number }[]) => {
      const alone = capacity === 1;
      const ids = tensor(gpu, [capacity], new Uint32Array(capacity));
      const at = [...each.map(({ row }) => (row + 3) % 2 ** 32), 100].slice(0, capacity);
      const positions = tensor(gpu, [3, capacity], Uint32Array.from([...at, ...at, ...at]));
      const [{ row: past, slot }] = each as [(typeof each)[0]];
      const options = { capacity, rows, ...(alone ? { tokens: 1, past, slot } : { each }) };
      const [step, moved] = await runOps(gpu, options, (pass) => {
        embed(pass, ids, table, { drawn, positions });
        return [pass.step, positions];
      });
      const places = alone ? [step![1]] : each.map((_, t) => step![4 + 4 * t]);
      return { places, positions: Array.from(moved!) };
    };
    const places = [6, first, 7].map((row, i) => ({ row, slot: 3 - i }));
    const thrice = (...values: number[]) => [...values, ...values, ...values];
    expect(await run(4, 8, places)).toEqual({ places: [7, 0, 7], positions: thrice(10, 3, 10, 100) });
    expect(await run(4, undefined, places)).toEqual({
      places: [6, first, 7],
      positions: thrice(9, 2, 10, 100),
    });
    expect(await run(1, 8, places.slice(0, 1))).toEqual({ places: [7], positions: thrice(10) });
    expect(await run(1, 8, places.slice(1, 2))).toEqual({ places: [0], positions: thrice(3) });
    expect(await run(1, 8, places.slice(2))).toEqual({ places: [7], positions: thrice(10) });
  });

  test.each([0, 1] as const)("rmsNorm, w stored minus %i", async (offset) => {
    for (const [T, C] of [
      [1, 1024],
      [5, 70],
      [3, 33],
      [7, 8],
    ] as const) {
      const x = noise(T * C, C);
      x.subarray(0, C).fill(1e-4); // where eps matters
      const w = noise(C, 9);
      const xs = tensor(gpu, [T + 2, C], poisoned(x, T + 2, C));
      const ws = tensor(gpu, [C], w);
      const [y] = await runOps(gpu, { capacity: T + 2, tokens: T }, (pass) => [
        rmsNorm(pass, xs, ws, { eps: 1e-6, offset }),
      ]);
      const got = (y as Float32Array).subarray(0, T * C);
      const sizes = { T, C, eps: 1e-6, offset };
      expectClose(got, normTwin.rmsNorm(x, w, sizes), 2e-6, `T=${T} C=${C}`);
      for (const wrong of [
        { ...sizes, eps: 1e-5 },
        { ...sizes, offset: offset === 0 ? (1 as const) : (0 as const) },
      ]) {
        expect(() => expectClose(got, normTwin.rmsNorm(x, w, wrong), 2e-6)).toThrow();
      }
    }
  });
});

test.each([1, 4, 9])("lastRow of %i tokens", async (tokens) => {
  const C = 70;
  const x = noise(9 * C, 3);
  const xs = tensor(device, [9, C], x);
  const [y] = await runOps(device, { capacity: 9, tokens }, (pass) => [lastRow(pass, xs)]);
  expect(Array.from(y!)).toEqual(Array.from(x.subarray((tokens - 1) * C, tokens * C)));
});

test("lastRow of a single row is that row, and no dispatch", () => {
  const step = tensor(device, [4], Uint32Array.of(1, 0, 0, 0));
  const x = tensor(device, [1, 5], noise(5, 3));
  expect(lastRow(new Recording(device, { capacity: 1, step }), x)).toBe(x);
});
