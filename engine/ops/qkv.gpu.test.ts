// Head norms, rope and the cache write against their slow twin.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromPages, normals, padded, pagingOf, toPages, withTensors } from "../../test-fixtures/attention.ts";
import { loadTensors } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import * as reference from "../reference/attention.ts";
import { packageRoot } from "../root.ts";
import { packedWidth } from "./attention.ts";
import { PAGE } from "./kv-cache.ts";
import { prepareQkv } from "./qkv.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

interface Inputs extends reference.QkvInputs {
  shape: reference.AttentionShape;
  qkv: Float32Array;
}

interface Outputs {
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

const tablePositions = 97;

/** (cos, sin) of p · theta^(-2i/R); f32 step by step. */
function ropeTable(positions: number, dims: number, theta = 1e4): Float32Array {
  const half = dims / 2;
  return Float32Array.from({ length: positions * dims }, (_, at) => {
    const [p, i] = [Math.floor(at / dims), Math.floor((at % dims) / 2)];
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround(i / half)));
    const angle = Math.fround(p * frequency);
    return at % 2 ? Math.sin(angle) : Math.cos(angle);
  });
}

function inputs(T: number, headDim: number, dims: number, options: Partial<Inputs> = {}): Inputs {
  const shape = { T, past: 11, heads: 6, kvHeads: 2, headDim, capacity: 64, ...options.shape };
  const gate = options.gate ?? false;
  return {
    gate,
    eps: 1e-5,
    normOffset: 0,
    qkv: normals(T * packedWidth(shape, gate), 1, 3),
    rope: { table: ropeTable(tablePositions, dims), dims },
    positions: Uint32Array.from({ length: 3 * T }, (_, i) => (7 * i * i + 3) % tablePositions),
    ...options,
    shape,
  };
}

function norms(headDim: number): Pick<Inputs, "qNorm" | "kNorm"> {
  return { qNorm: normals(headDim, 5), kNorm: normals(headDim, 6) };
}

/** The caches hold 7 before the run, so that a stray write shows. */
function twin(given: Inputs): Outputs {
  const { kvHeads, capacity, headDim } = given.shape;
  const k = new Float32Array(kvHeads * capacity * headDim).fill(7);
  const v = k.slice();
  return { q: reference.prepareQkv(given.qkv, given.shape, given, { k, v }), k, v };
}

async function run(given: Inputs, capacity = given.shape.T): Promise<Outputs> {
  const { shape, gate, qNorm, kNorm, eps, rope, positions } = given;
  const { T, past, heads, kvHeads, headDim } = shape;
  const paging = pagingOf(1, shape.capacity);
  const sevens = new Float32Array(kvHeads * shape.capacity * headDim).fill(7);
  const cache = [
    [paging.pages, kvHeads, PAGE, headDim],
    toPages(sevens, paging, kvHeads, headDim, 7),
  ] as const;
  const width = packedWidth(shape, gate);
  const zeros = new Float32Array(headDim);
  const spread = new Uint32Array(3 * capacity).fill(2 ** 31);
  for (const axis of [0, 1, 2]) spread.set(positions.subarray(axis * T, (axis + 1) * T), axis * capacity);
  const data = {
    qkv: [[capacity, width], padded(given.qkv, capacity * width)],
    positions: [[3, capacity], spread],
    table: [[rope.table.length / rope.dims, rope.dims / 2, 2], rope.table],
    k: cache,
    v: cache,
    pages: [[1, paging.pages - 1], paging.table],
    norms: [[2 * headDim], Float32Array.from([...(qNorm ?? zeros), ...(kNorm ?? zeros)])],
  } as const;
  return withTensors(gpu, data, async (on) => {
    const cache = { format: "f32" as const, k: on["k"]!, v: on["v"]!, table: on["pages"]! };
    const [q, ...pages] = await runOps(gpu, { capacity, tokens: T, past }, (pass) => {
      const made = prepareQkv(pass, on["qkv"]!, {
        ...{ heads, kvHeads, headDim, gate, eps, cache },
        ...(qNorm ? { norms: on["norms"]! } : {}),
        normOffset: given.normOffset === 1 ? 1 : 0,
        rope: { ...rope, table: on["table"]! },
        positions: on["positions"]!,
      });
      return [made, cache.k, cache.v];
    });
    const [k, v] = pages.map((values) => {
      const nobodys = values.subarray(0, kvHeads * PAGE * headDim);
      expect(nobodys.every((value) => value === 7)).toBe(true);
      return fromPages(values as Float32Array, paging, kvHeads, headDim);
    });
    return { q: (q as Float32Array).subarray(0, T * heads * headDim), k: k!, v: v! };
  });
}

function expectSame(got: Outputs, want: Outputs, tolerance = 2e-6) {
  expectClose(got.q, want.q, tolerance, "q");
  expectClose(got.k, want.k, tolerance, "K");
  expect(got.v).toEqual(want.v);
}

describe.each([1, 2, 17])("T=%d", (T) => {
  test.each([
    ["no norm, whole rope", inputs(T, 64, 64)],
    ["norm, whole rope", inputs(T, 128, 128, norms(128))],
    ["norm of 1 + w, gates, partial rope", inputs(T, 256, 64, { ...norms(256), normOffset: 1, gate: true })],
    ["an odd width and a half that is no multiple of 4", inputs(T, 72, 36, norms(72))],
    ["gates without norms", inputs(T, 32, 32, { gate: true })],
    [
      "three axes",
      inputs(T, 64, 64, { rope: { table: ropeTable(97, 64), dims: 64, sections: [11, 11, 10] } }),
    ],
    ["uneven axes", inputs(T, 96, 24, { rope: { table: ropeTable(97, 24), dims: 24, sections: [7, 2, 3] } })],
    [
      "axes, and a half that is no multiple of 4",
      inputs(T, 32, 20, { rope: { table: ropeTable(97, 20), dims: 20, sections: [5, 2, 3] } }),
    ],
  ])("%s", async (_, given) => {
    expectSame(await run(given), twin(given));
  });
});

test.each([1, 4, 5])(
  "%d tokens in a plan for 6: rows behind them are neither read nor written",
  async (T) => {
    const given = inputs(T, 64, 32, norms(64));
    expectSame(await run(given, 6), twin(given));
  },
);

test("a head of zeros stays zeros", async () => {
  const given = inputs(2, 64, 64, norms(64));
  given.qkv.fill(0);
  expectSame(await run(given), twin(given));
});

test("with equal axes, sections change no bit", async () => {
  const row = Uint32Array.from({ length: 9 }, (_, t) => (5 * t + 1) % tablePositions);
  const positions = Uint32Array.from([...row, ...row, ...row]);
  const plain = inputs(9, 64, 64, { ...norms(64), positions });
  const threeAxes = { ...plain, rope: { ...plain.rope, sections: [11, 11, 10] as const } };
  expect(await run(threeAxes)).toEqual(await run(plain));
});

describe("a picture's positions, as the reference turns them", () => {
  // one kv head, two query heads, width 256, R = 64
  const golden = loadTensors(
    join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-vl/golden/image_1.safetensors"),
  );
  const at = (name: string) => golden.get(name)!.data as Float32Array;
  const T = 26;
  const shape = { T, past: 0, heads: 2, kvHeads: 1, headDim: 256, capacity: 64 };
  const positions = Uint32Array.from(at("position_ids"));
  const k = at("layer.3.attn.k_norm_out");
  const qkv = normals(T * 1024, 9).map((value, i) => {
    const [t, c] = [Math.floor(i / 1024), i % 1024];
    return c < 512 || c >= 768 ? value : k[t * 256 + c - 512]!;
  });
  const table = ropeTable(32, 64, 1e7);
  const picture = inputs(T, 256, 64, {
    shape,
    positions,
    qkv,
    rope: { table, dims: 64, sections: [11, 11, 10] },
  });

  test("the axes differ, and the table with the axes is the reference's rope", () => {
    expect(positions.subarray(0, T)).not.toEqual(positions.subarray(T, 2 * T));
    expect(positions.subarray(T, 2 * T)).not.toEqual(positions.subarray(2 * T));
    for (let t = 0; t < T; t++) {
      for (let i = 0; i < 32; i++) {
        const p = positions[reference.axisOf(i, [11, 11, 10]) * T + t]!;
        expect(table[(p * 32 + i) * 2]).toBeCloseTo(at("rope.cos")[t * 64 + i]!, 6);
        expect(table[(p * 32 + i) * 2 + 1]).toBeCloseTo(at("rope.sin")[t * 64 + 32 + i]!, 6);
      }
    }
  });

  test("keys in the cache", async () => {
    const got = await run(picture);
    expectClose(got.k.subarray(0, T * 256), at("cache.3.k"), 1e-5);
    expectSame(got, twin(picture));
  });

  test.each<[string, readonly [number, number, number]]>([
    ["time alone", [32, 0, 0]],
    ["height left out", [22, 0, 10]],
  ])("the comparison notices %s", async (_, sections) => {
    const got = await run({ ...picture, rope: { ...picture.rope, sections } });
    expect(() => expectClose(got.k.subarray(0, T * 256), at("cache.3.k"), 1e-5)).toThrow("error");
  });
});

describe("the comparison notices", () => {
  const given = inputs(5, 64, 32, { ...norms(64), normOffset: 1 });

  test.each<[string, () => Outputs]>([
    ["pairs (2i, 2i + 1)", () => interleavedPairs(given)],
    ["a plain norm weight", () => twin({ ...given, normOffset: 0 })],
    ["rope before the norm", () => normAfterRope(given)],
    ["another epsilon", () => twin({ ...given, eps: 1e-2 })],
    ["keys one row early", () => twin({ ...given, shape: { ...given.shape, past: 10 } })],
    ["q and k norms swapped", () => twin({ ...given, qNorm: given.kNorm!, kNorm: given.qNorm! })],
  ])("%s", async (_, wrong) => {
    const got = await run(given);
    expectSame(got, twin(given));
    expect(() => expectSame(got, wrong())).toThrow();
  });
});

/** Rope on neighbours: the twin on dims moved to where it takes its pairs, moved back. */
function interleavedPairs(given: Inputs): Outputs {
  const half = given.rope.dims / 2;
  const from = (d: number) => (d >= 2 * half ? d : d < half ? 2 * d : 2 * (d - half) + 1);
  const to = (d: number) => (d >= 2 * half ? d : d % 2 ? half + (d - 1) / 2 : d / 2);
  const move = (x: Float32Array, map: (d: number) => number) =>
    x.map((_, i) => x[i - (i % 64) + map(i % 64)]!);
  const { q, k, v } = twin({
    ...given,
    qkv: move(given.qkv, from),
    qNorm: move(given.qNorm!, from),
    kNorm: move(given.kNorm!, from),
  });
  return { q: move(q, to), k: move(k, to), v: move(v, to) };
}

/** The weights applied behind the rotation. */
function normAfterRope(given: Inputs): Outputs {
  const ones = new Float32Array(64);
  const turned = twin({ ...given, qNorm: ones, kNorm: ones });
  const weigh = (x: Float32Array, w: Float32Array) => x.map((value, i) => value * (1 + w[i % 64]!));
  return { q: weigh(turned.q, given.qNorm!), k: weigh(turned.k, given.kNorm!), v: turned.v };
}
