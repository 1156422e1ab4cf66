// Caches in fewer bits: what lies in them is the keys and values as near as their format comes, and attention reads just
// that.
import { beforeAll, describe, expect, test, vi } from "vitest";
import {
  decodedRow,
  fromPages,
  mostError,
  normals,
  pagingOf,
  withTensors,
} from "../../test-fixtures/attention.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import * as reference from "../reference/attention.ts";
import { attend, attendsAtOnce } from "./attend.ts";
import { packedWidth } from "./attention.ts";
import { kvRowBytes, PAGE, type KvFormat } from "./kv-cache.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
const devices = {
  itself: () => gpu,
  "as a card": (): Gpu => ({ ...gpu, report: { ...gpu.report, kind: "hardware" } }),
};

const [heads, kvHeads, capacity] = [6, 2, 190];
const eps = 1e-6;

interface Layer {
  y: Float32Array;
  /** Words of [Nkv, capacity] rows. */
  k: Uint32Array;
  v: Uint32Array;
}

/** 70 tokens, then T more; the outputs of the latter. */
async function run(on: Gpu, format: KvFormat, qkv: Float32Array, D: number, T: number): Promise<Layer> {
  const paging = pagingOf(1, capacity);
  const words = kvRowBytes(format, D) / 4;
  const width = packedWidth({ heads, kvHeads, headDim: D }, true);
  const cacheShape = [paging.pages, kvHeads, PAGE, words];
  const nothing = new Uint32Array(paging.pages * kvHeads * PAGE * words).fill(0xffff_ffff);
  const permanent = {
    k: [cacheShape, nothing],
    v: [cacheShape, nothing],
    table: [[1, paging.pages - 1], paging.table],
    rope: [[capacity, D / 2, 2], table(D)],
  } as const;
  return withTensors(gpu, permanent, async (kept) => {
    const cache = { format, k: kept["k"]!, v: kept["v"]!, table: kept["table"]! };
    let made: (Float32Array | Uint32Array)[] = [];
    for (const [from, tokens] of [
      [0, 70],
      [70, T],
    ] as const) {
      const row = Uint32Array.from({ length: tokens }, (_, t) => from + t);
      const data = {
        qkv: [[tokens, width], qkv.slice(from * width, (from + tokens) * width)],
        positions: [[3, tokens], Uint32Array.from([...row, ...row, ...row])],
      } as const;
      made = await withTensors(gpu, data, (given) =>
        runOps(on, { capacity: tokens, past: from }, (pass) => {
          const y = attend(pass, given["qkv"]!, {
            ...{ heads, kvHeads, headDim: D, gate: true, eps, normOffset: 0, cache },
            ...{ rope: { table: kept["rope"]!, dims: D }, positions: given["positions"]! },
          });
          return [y, cache.k, cache.v];
        }),
      );
    }
    const flat = (values: Float32Array | Uint32Array) => {
      const rows = fromPages(new Float32Array(values.buffer), paging, kvHeads, words);
      return new Uint32Array(rows.buffer);
    };
    return { y: made[0] as Float32Array, k: flat(made[1]!), v: flat(made[2]!) };
  });
}

function table(D: number): Float32Array {
  return Float32Array.from({ length: capacity * D }, (_, at) => {
    const angle = Math.floor(at / D) * 1e4 ** (-Math.floor((at % D) / 2) / (D / 2));
    return at % 2 ? Math.sin(angle) : Math.cos(angle);
  });
}

describe.each(["itself", "as a card"] as const)("the device %s", (device) => {
  const cases: [KvFormat, number, number][] = [
    ["f16", 72, 19],
    ["q8_0", 96, 1],
  ];
  if (device === "itself") cases.push(["q8_0", 64, 19]); // a kernel takes seconds to compile, a card's the most
  test.each(cases)("%s, head width %d, %d tokens", async (format, D, T) => {
    const shape = { heads, kvHeads, headDim: D, capacity };
    const width = packedWidth(shape, true);
    const qkv = normals((70 + T) * width, D).map((x, i) => (i % 7 === 0 ? x * 3 : x));
    const got = await run(devices[device](), format, qkv, D, T);

    const exact = {
      k: new Float32Array(kvHeads * capacity * D),
      v: new Float32Array(kvHeads * capacity * D),
    };
    const rows = Uint32Array.from({ length: 3 * (70 + T) }, (_, i) => i % (70 + T));
    const inputs = { gate: true, eps, normOffset: 0, rope: { table: table(D), dims: D }, positions: rows };
    const q = reference.prepareQkv(qkv, { ...shape, T: 70 + T, past: 0 }, inputs, exact);
    const words = kvRowBytes(format, D) / 4;
    const near = { k: exact.k.slice(), v: exact.v.slice() };
    for (const which of ["k", "v"] as const) {
      for (let head = 0; head < kvHeads; head++) {
        for (let t = 0; t < 70 + T; t++) {
          const row = head * capacity + t;
          const have = decodedRow(format, got[which].subarray(row * words, (row + 1) * words), D);
          const want = exact[which].subarray(row * D, (row + 1) * D);
          for (let i = 0; i < D; i++) {
            const error = Math.abs(have[i]! - want[i]!);
            if (!(error <= mostError(format, want, i)))
              expect.fail(`${which}[${head}, ${t}, ${i}]: ${have[i]}, want ${want[i]}`);
          }
          // Of its own a token by itself has more than the cache has, in one kernel.
          const itsOwn = T === 1 && t === 70 && attendsAtOnce(devices[device](), { format });
          near[which].set(itsOwn ? want : have, row * D);
        }
      }
    }
    const last = { ...shape, T, past: 70 };
    const query = q.subarray(70 * heads * D);
    const gates = qkv.subarray(70 * width);
    expectClose(got.y, reference.attention(query, near, last, gates), 1e-4);
    const whole = reference.attention(query, exact, last, gates);
    expect(() => expectClose(got.y, whole, 1e-4), "it is not in f32").toThrow("error");
  });
});
