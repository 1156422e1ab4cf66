// One token of each of several sequences in one run: every row has the bits that it has in a run alone, however many
// run beside it and in whatever slots, and memory that is nobody's holds NaN and stays as it was.
import { beforeAll, describe, expect, test, vi } from "vitest";
import { fromPages, normals, padded, pagingOf, toPages } from "../../test-fixtures/attention.ts";
import { deltaInputs, DeltaLayer } from "../../test-fixtures/delta.ts";
import { asCard, guises, noise, pack, poisoned } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps, weightOf } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { readF32 } from "../gpu/readback.ts";
import type { Place } from "../gpu/step.ts";
import { permanent } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import * as reference from "../reference/attention.ts";
import { linear as linearTwin } from "../reference/linear.ts";
import { attend } from "./attend.ts";
import { packedWidth } from "./attention.ts";
import { createDeltaState, deltaRule, deltaWidths } from "./delta.ts";
import { kept } from "./kept.fixture.ts";
import { PAGE } from "./kv-cache.ts";
import { linear, normLinear, normSwiglu } from "./linear.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let device: Gpu;
beforeAll(async () => {
  device = await testGpu(false); // as cards are
});

/** Tokens of a run and the capacity of its plan. */
const sizes = [
  [2, 2],
  [3, 4],
  [11, 16],
] as const;

const places = (count: number): Place[] => Array.from({ length: count }, (_, i) => ({ row: i, slot: i }));
const rowOf = (values: Float32Array | Uint32Array, t: number, width: number) =>
  values.slice(t * width, (t + 1) * width);

test("a card's subgroups: several to a row, whose sums have one order", async () => {
  const gpu = { ...asCard(device), tuning: Tuning.only("32 lanes, 2") };
  const [T, K, N] = [2, 1032, 7];
  const x = noise(T * K, T);
  const W = kept(weightOf(gpu, [N, K], "bf16", pack("bf16", noise(N * K, 2), K).bytes));
  const w = kept(permanent(gpu, "w", [K], noise(K, 5)));
  const run = async (rows: number, xs: Float32Array<ArrayBuffer>, each?: Place[]) => {
    const on = kept(permanent(gpu, "x", [rows, K], xs));
    const [y] = await runOps(gpu, { capacity: rows, ...(each ? { each } : {}) }, (pass) => [
      normLinear(pass, on, w, { eps: 1e-2, offset: 1 }, W),
    ]);
    return y!;
  };
  const together = await run(T, x, places(T));
  for (let t = 0; t < T; t += 1)
    expect(rowOf(together, t, N)).toEqual(await run(1, x.slice(t * K, (t + 1) * K)));
});

describe.each([0, 1])("as device %d of two", (guise) => {
  const gpuOf = () => guises(device)[guise]![1];

  // Each of these compiles for seconds, those of a card for minutes: there only the shortest; odd widths and shards once.
  test.each(sizes.filter(([T]) => guise === 0 || T === 2))(
    "%d columns of x · Wᵀ in a plan for %d",
    async (T, capacity) => {
      const gpu = gpuOf();
      for (const K of guise === 0 && T === 3 ? [72, 70] : [72]) {
        const N = 46;
        const x = noise(T * K, T);
        const { bytes, values } = pack("bf16", noise(N * K, 2), K);
        const bias = noise(N, 3);
        const add = noise(T * N, 4);
        const W = kept(weightOf(gpu, [N, K], "bf16", bytes, T === 3 && K === 72 ? 40 * 2 * K : undefined));
        const b = kept(permanent(gpu, "bias", [N], bias));
        const w = kept(permanent(gpu, "w", [K], noise(K, 5)));
        const run = async (rows: number, xs: Float32Array, adds: Float32Array, each?: Place[]) => {
          const on = kept(permanent(gpu, "x", [rows, K], poisoned(xs, rows, K)));
          const residual = kept(permanent(gpu, "add", [rows, N], poisoned(adds, rows, N)));
          return runOps(gpu, { capacity: rows, ...(each ? { each } : {}) }, (pass) => [
            linear(pass, on, W, { bias: b, add: residual }),
            normLinear(pass, on, w, { eps: 1e-2, offset: 1 }, W),
            normSwiglu(pass, on, w, { eps: 1e-2, offset: 1 }, W),
          ]);
        };
        const together = await run(capacity, x, add, places(T));
        expectClose(
          together[0]!.subarray(0, T * N) as Float32Array,
          linearTwin(x, values, { T, K, N }, { bias, add }),
          1e-4,
        );
        for (let t = 0; t < T; t += 1) {
          const alone = await run(1, rowOf(x, t, K) as Float32Array, rowOf(add, t, N) as Float32Array);
          for (const [i, width] of [N, N, N / 2].entries())
            expect(rowOf(together[i]!, t, width), `output ${i}, row ${t} of ${T}, K=${K}`).toEqual(alone[i]);
        }
        for (const [i, width] of [N, N, N / 2].entries())
          expect(together[i]!.slice(T * width).every((value) => value === 0)).toBe(true);
      }
    },
  );

  // A card may have measured another count of splits: it is asked for one token, however many there are.
  const measured = { "attention split f32 6:2x64 of 448": "4 splits" };
  test.each(guise === 0 ? [{}] : [{}, measured])(
    "attention, each over its own keys, %o",
    async (measured) => {
      const tuning = new Tuning({ autotune: Object.keys(measured).length > 0 }, { measured });
      const gpu = { ...gpuOf(), tuning };
      const [heads, kvHeads, D, capacity, slots] = [6, 2, 64, 400, 6];
      const each = [
        { row: 257, slot: 4 },
        { row: 0, slot: 0 },
        { row: 64, slot: 5 },
        { row: 63, slot: 2 },
        { row: 130, slot: 1 },
      ]; // slot 3 is nobody's
      const T = each.length;
      const size = kvHeads * capacity * D;
      const fill = (seed: number) => {
        const values = new Float32Array(slots * size).fill(NaN);
        for (const { row, slot } of each) {
          const drawn = normals(size, seed + slot);
          for (let i = 0; i < size; i += 1)
            if (Math.floor(i / D) % capacity < row) values[slot * size + i] = drawn[i]!;
        }
        return values;
      };
      const paging = pagingOf(slots, capacity);
      const [k, v] = [fill(10), fill(20)].map((values) => toPages(values, paging, kvHeads, D));
      const flat = (values: unknown) => fromPages(values as Float32Array, paging, kvHeads, D);
      const pages = kept(permanent(gpu, "pages", [slots, (paging.pages - 1) / slots], paging.table));
      const shape = { heads, kvHeads, headDim: D };
      const width = packedWidth(shape, true);
      const qkv = normals(T * width, 30);
      const table = kept(permanent(gpu, "table", [400, D / 2, 2], noise(400 * D, 7)));
      const run = async (rows: number, input: Float32Array, position: number[], where: object) => {
        const on = kept(permanent(gpu, "qkv", [rows, width], padded(input, rows * width)));
        const positions = new Uint32Array(3 * rows);
        for (const axis of [0, 1, 2]) positions.set(position, axis * rows);
        const cache = {
          format: "f32" as const,
          k: kept(permanent(gpu, "k", [paging.pages, kvHeads, PAGE, D], k)),
          v: kept(permanent(gpu, "v", [paging.pages, kvHeads, PAGE, D], v)),
          table: pages,
        };
        const [y, keys, values] = await runOps(gpu, { capacity: rows, ...where }, (pass) => {
          const y = attend(pass, on, {
            ...{ ...shape, gate: true, eps: 1e-6, normOffset: 0, cache },
            rope: { table, dims: D },
            positions: kept(permanent(gpu, "positions", [3, rows], positions)),
          });
          return [y, cache.k, cache.v];
        });
        return { y: y as Float32Array, keys: flat(keys), values: flat(values) };
      };
      const positionOf = ({ row }: Place) => (row + 3) % 400; // not the row itself, as behind a picture
      const together = await run(8, qkv, each.map(positionOf), { each });
      expect(tuning.open).toEqual([]);
      for (const [t, place] of each.entries()) {
        const own = rowOf(qkv, t, width) as Float32Array;
        const alone = await run(1, own, [positionOf(place)], {
          tokens: 1,
          past: place.row,
          slot: place.slot,
        });
        const row = rowOf(together.y, t, heads * D) as Float32Array;
        expect(row, `token ${t}`).toEqual(rowOf(alone.y, 0, heads * D));
        const from = place.slot * size;
        const [mine, its] = [
          together.keys.slice(from, from + size),
          together.values.slice(from, from + size),
        ];
        expect(mine).toEqual(alone.keys.slice(from, from + size));
        // The twin, over the keys that are there now; the query is the twin's own.
        const shaped = { ...shape, T: 1, past: place.row, capacity };
        const sink = { k: new Float32Array(size), v: new Float32Array(size) };
        const options = {
          ...{ gate: true, eps: 1e-6, normOffset: 0 },
          rope: { table: await readF32(gpu, table), dims: D },
          positions: new Uint32Array(3).fill(positionOf(place)),
        };
        const q = reference.prepareQkv(own, shaped, options, sink);
        expectClose(row, reference.attention(q, { k: mine, v: its }, shaped, own), 2e-5, `token ${t}`);
      }
      expect(together.keys.slice(3 * size, 4 * size).every(Number.isNaN), "slot 3").toBe(true);
    },
  );

  test("the delta rule, each from its own state", async () => {
    const gpu = gpuOf();
    const config = { keyHeads: 2, valueHeads: 6, keyDim: 32, valueDim: 64, conv: 4 };
    const { row: width, values } = deltaWidths(config);
    const slots = 5;
    const pasts = [2, 9, 0, 37]; // of slots 3, 0, 4, 1
    const order = [3, 0, 4, 1];
    const inputs = deltaInputs(config, 40, 5);
    const layer = new DeltaLayer(gpu, inputs);
    const token = (t: number) => inputs.u.subarray((7 * t + 1) * width, (7 * t + 2) * width);
    const shared = createDeltaState(gpu, config, slots);
    kept(shared.memory);
    const bytes = shared.memory.storage.bytes / slots;
    const blank = new Float32Array(bytes / 4).fill(NaN);
    gpu.device.queue.writeBuffer(shared.memory.storage.buffer!, 2 * bytes, blank); // nobody's
    const alone: Float32Array[] = [];
    for (const [t, past] of pasts.entries()) {
      const own = createDeltaState(gpu, config);
      kept(own.memory);
      // Any state will do, and drawing one compiles nothing.
      gpu.device.queue.writeBuffer(own.memory.storage.buffer!, 0, noise(bytes / 4, 50 + t));
      const encoder = gpu.device.createCommandEncoder();
      const to = order[t]! * bytes;
      encoder.copyBufferToBuffer(own.memory.storage.buffer!, 0, shared.memory.storage.buffer!, to, bytes);
      gpu.device.queue.submit([encoder.finish()]);
      const u = kept(permanent(gpu, "u", [1, width], token(t)));
      const [y] = await runOps(gpu, { capacity: 1, past }, (pass) => [
        deltaRule(pass, u, layer.weights, config, own),
      ]);
      alone.push(y as Float32Array, await readF32(gpu, own.memory));
    }
    const all = new Float32Array(8 * width).fill(NaN);
    for (const t of pasts.keys()) all.set(token(t), t * width);
    const u = kept(permanent(gpu, "u", [8, width], all));
    const each = pasts.map((row, t) => ({ row, slot: order[t]! }));
    const [y, memory] = await runOps(gpu, { capacity: 8, each }, (pass) => [
      deltaRule(pass, u, layer.weights, config, shared),
      shared.memory,
    ]);
    for (const [t, slot] of order.entries()) {
      expect(rowOf(y!, t, values), `token ${t}`).toEqual(alone[2 * t]);
      expect(rowOf(memory!, slot, bytes / 4), `state ${t}`).toEqual(alone[2 * t + 1]);
    }
    expect(rowOf(memory!, 2, bytes / 4).every((value) => Number.isNaN(value))).toBe(true);
    expect(rowOf(y!, 0, values), "slots matter").not.toEqual(rowOf(y!, 1, values));
    layer.destroy();
  });
});
