// Attention against its slow twin: every width, many T and past, extreme scores, and garbage where nobody may look.
import { beforeAll, describe, expect, test } from "vitest";
import {
  asTheyAre,
  attentionInputs,
  packedToken,
  padded,
  pagingOf,
  stillRope,
  toPages,
  withTensors,
  type AttentionInputs,
} from "../../test-fixtures/attention.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { Tuning } from "../gpu/tuning.ts";
import * as reference from "../reference/attention.ts";
import { attend } from "./attend.ts";
import { attention, packedWidth } from "./attention.ts";
import { PAGE } from "./kv-cache.ts";

let gpu: Gpu;
let card: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
  card = { ...gpu, report: { ...gpu.report, kind: "hardware" } };
});

/** This device as it is, and taken for a card, so that the kernels of both are run. */
const devices = {
  itself: () => gpu,
  "as a card": () => card,
};
/** What a card may measure to be faster than the guess. */
const ways = ["16 rows, 64 keys", "64 rows, 64 keys", "32 rows, 32 keys", "64 rows, 32 keys"] as const;
type Way = (typeof ways)[number] | "4 splits";
type Device = keyof typeof devices | Way;

function deviceOf(device: Device): Gpu {
  if (device in devices) return devices[device as keyof typeof devices]();
  const tuning = Tuning.only(device);
  const choose = tuning.choose.bind(tuning);
  tuning.choose = (question, ways) => {
    expect(ways.map(({ name }) => name)).toContain(device);
    return choose(question, ways);
  };
  return { ...card, tuning };
}

/**
 * y [T, Nh·D] from the kernels, in a plan for `capacity` tokens whose rows behind T hold NaN. `pages`: that a sequence may
 * have, if it has more to come. A token by itself is attended to, from its projection: its own row of the cache is NaN.
 */
async function run(
  device: Device,
  given: AttentionInputs,
  capacity = given.shape.T,
  pages?: number,
): Promise<Float32Array> {
  const { shape, q, gate } = given;
  const { T, past, heads, kvHeads, headDim } = shape;
  const width = packedWidth(shape, gate !== undefined);
  const paging = pagingOf(1, shape.capacity);
  const cacheShape = [paging.pages, kvHeads, PAGE, headDim];
  const single = capacity === 1;
  const paged = (values: Float32Array) => {
    const own = (i: number) => single && Math.floor(i / headDim) % shape.capacity === past;
    return toPages(
      values.map((value, i) => (own(i) ? NaN : value)),
      paging,
      kvHeads,
      headDim,
    );
  };
  const packed = single ? packedToken(given) : (gate ?? new Float32Array());
  const data = {
    q: [[capacity, heads, headDim], padded(q, capacity * heads * headDim)],
    k: [cacheShape, paged(given.k)],
    v: [cacheShape, paged(given.v)],
    table: [[1, pages ?? paging.pages - 1], tableOf(paging.table, pages)],
    qkv: [[capacity, width], padded(packed, capacity * width)],
    ...stillRope(headDim),
  } as const;
  return withTensors(gpu, data, async (on) => {
    const [y] = await runOps(deviceOf(device), { capacity, tokens: T, past }, (pass) => {
      const heading = { heads, kvHeads, headDim };
      const cache = { format: "f32" as const, k: on["k"]!, v: on["v"]!, table: on["table"]! };
      if (single)
        return [attend(pass, on["qkv"]!, { ...heading, gate: !!gate, cache, ...asTheyAre(on, headDim) })];
      return [attention(pass, on["q"]!, cache, { ...heading, ...(gate ? { gate: on["qkv"]! } : {}) })];
    });
    return (y as Float32Array).subarray(0, T * heads * headDim);
  });
}

function tableOf(table: Uint32Array, pages = table.length): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(pages);
  longer.set(table);
  return longer;
}

function twin({ shape, q, k, v, gate }: AttentionInputs): Float32Array {
  return reference.attention(q, { k, v }, shape, gate);
}

const lengths = [1, 2, 5, 17, 65, 130];
const pasts = [0, 1, 63, 64, 100, 257];

describe.each(["itself", "as a card"] as const)("the device %s", (device) => {
  describe.each([64, 72, 128, 256])("head width %d", (headDim) => {
    const cases = lengths.flatMap((T, i) =>
      pasts.filter((_, j) => headDim === 64 || j === (i + headDim / 4) % 6).map((past) => ({ T, past })),
    );
    const gated = headDim === 64 || headDim === 256; // one or the other: a kernel takes seconds to compile
    test.each(cases)("T=$T past=$past", async ({ T, past }) => {
      const given = attentionInputs(T, past, headDim, gated);
      expectClose(await run(device, given), twin(given), 2e-5);
    });
  });

  const shapes: [heads: number, kvHeads: number, headDim: number][] = [[14, 2, 64]];
  if (device === "itself") shapes.push([9, 3, 4], [1, 1, 32], [5, 1, 80], [4, 2, 96], [16, 2, 36]);
  test.each(shapes)("%d heads on %d, width %d", async (heads, kvHeads, headDim) => {
    for (const T of [1, 19]) {
      const given = attentionInputs(T, 70, headDim, true, heads, kvHeads);
      expectClose(await run(device, given), twin(given), 2e-5);
    }
  });

  test.each([1, 3, 16])("%d tokens in a plan for 33", async (T) => {
    const given = attentionInputs(T, 90, 64, true);
    expectClose(await run(device, given, 33), twin(given), 2e-5);
  });

  test("chunks of a prompt give what one run gives", async () => {
    const whole = attentionInputs(60, 0, 64, true);
    const y = await run(device, whole);
    const [row, width] = [6 * 64, packedWidth(whole.shape, true)];
    for (const [from, to] of [
      [0, 7],
      [7, 8],
      [8, 60],
    ] as const) {
      const shape = { ...whole.shape, past: from, T: to - from };
      const gate = whole.gate!.subarray(from * width, to * width);
      const part = await run(device, { ...whole, shape, gate, q: whole.q.subarray(from * row, to * row) });
      expectClose(part, y.subarray(from * row, to * row), 1e-5);
    }
  });

  test("the same run twice gives the same bits", async () => {
    for (const T of [1, 17])
      expect(await run(device, attentionInputs(T, 257, 64, true))).toEqual(
        await run(device, attentionInputs(T, 257, 64, true)),
      );
  });
});

test.each(ways)("a card's prompts by tiles of %s", async (way) => {
  for (const [T, past, headDim] of [
    [17, 100, 64],
    [65, 31, 64],
    [30, 257, 256],
  ] as const) {
    const given = attentionInputs(T, past, headDim, headDim === 64);
    expectClose(await run(way, given, T + 3), twin(given), 2e-5, `T=${T} past=${past}`);
  }
  const rising = scored(23, 300, (key) => (1e4 * key) / 350);
  expectClose(await run(way, rising), twin(rising), 2e-5);
});

test("a card's prompts in parts, where a sequence may have millions of tokens", async () => {
  for (const T of [41, 3]) {
    const given = attentionInputs(T, 31, 64, true);
    expectClose(await run("as a card", given, 43, 2 ** 18), twin(given), 2e-5, `T=${T}`);
  }
});

test("a card's tokens in fewer splits than the guess", async () => {
  for (const past of [0, 63, 257]) {
    const given = attentionInputs(1, past, 64, true);
    expectClose(await run("4 splits", given), twin(given), 2e-5, `past=${past}`);
  }
});

/** Scores chosen, not drawn: q is 8·√D on one axis, so that score(k) is 8·K[k, 0] exactly. */
function scored(T: number, past: number, score: (key: number) => number): AttentionInputs {
  const given = attentionInputs(T, past, 64, true);
  given.gate!.fill(0);
  given.q = given.q.map((_, i) => (i % 64 === 0 ? 64 : 0));
  given.k = given.k.map((value, i) => (Number.isNaN(value) ? NaN : score(Math.floor(i / 64) % 400) / 8));
  return given;
}

const both = (["itself", "as a card"] as const).flatMap((device) => [1, 23].map((T) => ({ device, T })));

describe.each(both)("extreme scores, the device $device, T=$T", ({ device, T }) => {
  test.each<[string, (key: number) => number]>([
    ["equal", () => 3],
    ["all very negative", (key) => -1e4 - (key % 3)],
    ["rising to 1e4", (key) => (1e4 * key) / 350],
    ["falling from 1e4", (key) => 1e4 - 8 * key],
    ["one key far above the rest", (key) => (key === 70 ? 1e4 : -1e4)],
    ["1e30 apart", (key) => (key % 2 ? 1e30 : -1e30)],
  ])("%s", async (_, score) => {
    const given = scored(T, 300, score);
    expectClose(await run(device, given), twin(given), 2e-5);
  });

  test("gates wide open, shut, and beyond what exp can hold", async () => {
    const given = attentionInputs(T, 3, 64, true);
    given.gate = given.gate!.map((_, i) => [200, -200, 0, 1e30, -1e30][i % 5]!);
    expectClose(await run(device, given), twin(given), 2e-5);
  });
});

test.each(["itself", "as a card"] as const)(
  "a single key, the device %s: its value, whatever the score",
  async (device) => {
    for (const score of [0, 1e4, -1e4, 1e30]) {
      const given = scored(1, 0, () => score);
      const y = await run(device, given);
      for (let h = 0; h < 6; h++) {
        const first = Math.floor(h / 3) * 400 * 64;
        const half = given.v.subarray(first, first + 64).map((value) => value / 2); // the gate is 0
        expect([...y.subarray(h * 64, (h + 1) * 64)]).toEqual([...half]);
      }
    }
  },
);

describe.each(both)("the comparison notices, the device $device, T=$T,", ({ device, T }) => {
  const given = attentionInputs(T, 40, 64, true);
  const { heads, kvHeads, headDim: D } = given.shape;

  async function expectApart(wrong: Float32Array) {
    expect(() => expectClose(wrong, twin(given), 2e-5)).toThrow("error");
    const y = await run(device, given);
    expect(() => expectClose(y, wrong, 2e-5)).toThrow("error");
  }

  test("kv heads tiled over the query heads instead of grouped", async () => {
    const group = heads / kvHeads;
    const source = (h: number) => (h % group) * kvHeads + Math.floor(h / group);
    const order = (x: Float32Array, from: (h: number) => number) => {
      const head = (i: number) => Math.floor(i / D) % heads;
      return x.map((_, i) => x[i + (from(head(i)) - head(i)) * D]!);
    };
    const plain = { ...given, gate: given.gate!.map(() => 0) };
    const back = (h: number) => (h % kvHeads) * group + Math.floor(h / kvHeads);
    const tiled = order(twin({ ...plain, q: order(given.q, source) }), back);
    const right = twin(plain);
    expect(() => expectClose(tiled, right, 2e-5)).toThrow("error");
    expectClose(await run(device, plain), right, 2e-5);
  });

  test("the gates taken as one half of the projection", async () => {
    const width = packedWidth(given.shape, true);
    const flat = given.gate!.map((value, i) => {
      const [t, at] = [Math.floor(i / width), i % width];
      const [h, d] = [Math.floor(at / (2 * D)), (at % (2 * D)) - D];
      return h < heads && d >= 0 ? given.gate![t * width + (heads + h) * D + d]! : value;
    });
    await expectApart(twin({ ...given, gate: flat }));
  });

  test("a query that misses its own key", async () => {
    const late = { ...given.shape, past: given.shape.past - 1 };
    await expectApart(twin({ ...given, shape: late }));
  });

  test("no scaling of the scores", async () => {
    await expectApart(twin({ ...given, q: given.q.map((value) => value * 8) }));
  });
});
