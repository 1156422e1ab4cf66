// A token of each of several sequences, from the projection to what is mixed, in one kernel: against the slow twins, in every
// format of the cache. What is written must be the row and nothing else, and what was in that row before must not matter.
import { beforeAll, describe, expect, test, vi } from "vitest";
import { decodedRow, mostError, normals, pagingOf, withTensors } from "../../test-fixtures/attention.ts";
import { asCard } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { runOps } from "../../test-fixtures/run.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Place } from "../gpu/step.ts";
import * as reference from "../reference/attention.ts";
import { attend, attendsAtOnce } from "./attend.ts";
import { packedWidth, type Heads } from "./attention.ts";
import { kvRowBytes, PAGE, type KvFormat } from "./kv-cache.ts";
import { softwareLanes } from "./variants.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
const devices = { itself: () => gpu, "as a card": () => asCard(gpu) };

interface Case extends Heads {
  format: KvFormat;
  gate?: boolean;
  norms?: boolean;
  offset?: 0 | 1;
  /** R */
  turning: number;
  sections?: readonly [number, number, number];
}

const cases: Case[] = [
  { heads: 3, kvHeads: 3, headDim: 32, format: "f32", turning: 32 },
  { heads: 6, kvHeads: 3, headDim: 64, format: "f16", turning: 64, norms: true },
  {
    ...{ heads: 8, kvHeads: 2, headDim: 256, format: "q8_0", gate: true, norms: true, offset: 1 },
    ...{ turning: 64, sections: [11, 11, 10] },
  },
  { heads: 14, kvHeads: 2, headDim: 128, format: "f32", turning: 128, norms: true, gate: true },
  { heads: 5, kvHeads: 1, headDim: 96, format: "q8_0", turning: 24, sections: [7, 2, 3] },
  { heads: 4, kvHeads: 2, headDim: 72, format: "f16", turning: 36, norms: true, gate: true },
];

const [slots, capacity, tablePositions] = [5, 190, 97];
/** An empty cache, the last row of a page, the first one of the next; slot 2 is nobody's. */
const each: Place[] = [
  { row: 130, slot: 1 },
  { row: 0, slot: 3 },
  { row: 64, slot: 0 },
  { row: 63, slot: 4 },
];

/** What a run is given, and the words of its cache: rows that hold something before it have numbers, all others NaN. */
interface Given {
  of: Case;
  qkv: Float32Array;
  norms: Float32Array;
  table: Float32Array;
  /** [3, T] */
  positions: Uint32Array;
  k: Uint32Array;
  v: Uint32Array;
}

const paging = pagingOf(slots, capacity);

function given(of: Case): Given {
  const { heads, kvHeads, headDim: D, turning: R } = of;
  const T = each.length;
  return {
    of,
    qkv: normals(T * packedWidth({ heads, kvHeads, headDim: D }, of.gate ?? false), 3, 2),
    norms: normals(2 * D, 5),
    table: Float32Array.from({ length: tablePositions * R }, (_, i) => {
      const angle = Math.floor(i / R) * 100 ** (-Math.floor((i % R) / 2) / (R / 2));
      return i % 2 ? Math.sin(angle) : Math.cos(angle);
    }),
    positions: Uint32Array.from({ length: 3 * T }, (_, i) => (7 * i * i + 3) % tablePositions),
    k: rowsBefore(of, 8),
    v: rowsBefore(of, 9),
  };
}

/** Numbers in the rows that the sequences have already, in whatever format. */
function rowsBefore({ format, kvHeads, headDim: D }: Case, seed: number): Uint32Array<ArrayBuffer> {
  const words = kvRowBytes(format, D) / 4;
  const out = new Uint32Array(paging.pages * kvHeads * PAGE * words).fill(0xffff_ffff);
  const drawn = new Uint32Array(normals(out.length, seed).buffer);
  for (const { row, slot } of each)
    for (let head = 0; head < kvHeads; head++)
      for (let at = 0; at < row; at++) {
        const from = rowAt(kvHeads, slot, head, at) * words;
        for (let i = 0; i < words; i++) out[from + i] = wordOf(format, drawn[from + i]!, i < D / 4);
      }
  return out;
}

/** As f16, and as the scales of q8_0, within 1/16 and 4. */
function wordOf(format: KvFormat, random: number, codes: boolean): number {
  if (format === "f32" || (format === "q8_0" && codes)) return random;
  const scale = format === "q8_0" ? 0x1c00_1c00 : 0x3000_3000;
  return ((random & 0x03ff_03ff) | scale | (format === "f16" ? (random << 7) & 0x8000_8000 : 0)) >>> 0;
}

function rowAt(kvHeads: number, slot: number, head: number, position: number): number {
  const page = paging.table[slot * (paging.table.length / slots) + Math.floor(position / PAGE)]!;
  return (page * kvHeads + head) * PAGE + (position % PAGE);
}

interface Made {
  /** [T, Nh·D] */
  y: Float32Array;
  k: Uint32Array;
  v: Uint32Array;
}

/** Of the tokens that are picked: of all of them in a plan for more, or of one by itself. */
async function run(on: Gpu, { of, ...input }: Given, pick?: number): Promise<Made> {
  const { heads, kvHeads, headDim: D, format, gate = false, turning, sections } = of;
  const T = each.length;
  const width = packedWidth(of, gate);
  const rows = pick === undefined ? 7 : 1;
  const qkv = new Float32Array(rows * width).fill(NaN);
  qkv.set(pick === undefined ? input.qkv : input.qkv.subarray(pick * width, (pick + 1) * width));
  const positions = new Uint32Array(3 * rows).fill(2 ** 31);
  for (const axis of [0, 1, 2]) {
    const own = input.positions.subarray(axis * T, (axis + 1) * T);
    positions.set(pick === undefined ? own : own.subarray(pick, pick + 1), axis * rows);
  }
  const cacheShape = [paging.pages, kvHeads, PAGE, kvRowBytes(format, D) / 4];
  const data = {
    qkv: [[rows, width], qkv],
    positions: [[3, rows], positions],
    table: [[tablePositions, turning / 2, 2], input.table],
    norms: [[2 * D], input.norms],
    k: [cacheShape, input.k],
    v: [cacheShape, input.v],
    pages: [[slots, paging.table.length / slots], paging.table],
  } as const;
  const place = each[pick ?? 0]!;
  const where = pick === undefined ? { each } : { past: place.row, slot: place.slot };
  return withTensors(gpu, data, async (tensors) => {
    const cache = { format, k: tensors["k"]!, v: tensors["v"]!, table: tensors["pages"]! };
    const kernels: string[] = [];
    const [y, k, v] = await runOps(on, { capacity: rows, ...where }, (pass) => {
      const dispatch = pass.dispatch.bind(pass);
      pass.dispatch = (kernel, ...rest) => (kernels.push(kernel), dispatch(kernel, ...rest));
      const made = attend(pass, tensors["qkv"]!, {
        ...{ heads, kvHeads, headDim: D, gate, eps: 1e-3, normOffset: of.offset ?? 0, cache },
        ...(of.norms ? { norms: tensors["norms"]! } : {}),
        rope: { table: tensors["table"]!, dims: turning, ...(sections ? { sections } : {}) },
        positions: tensors["positions"]!,
      });
      return [made, cache.k, cache.v];
    });
    expect(kernels.includes("qkv_prepare"), "a kernel of its own for queries").toBe(!attendsAtOnce(on, of));
    return { y: y as Float32Array, k: new Uint32Array(k!.buffer), v: new Uint32Array(v!.buffer) };
  });
}

/** The twins, token by token: what was written, and what is made of that. */
function expectTwins(on: Gpu, input: Given, made: Made) {
  const { heads, kvHeads, headDim: D, format, gate = false } = input.of;
  const T = each.length;
  const width = packedWidth(input.of, gate);
  const words = kvRowBytes(format, D) / 4;
  const untouched = { k: made.k.slice(), v: made.v.slice() };
  for (const [t, { row, slot }] of each.entries()) {
    const shape = { T: 1, past: row, heads, kvHeads, headDim: D, capacity: row + 1 };
    const size = kvHeads * (row + 1) * D;
    const exact = { k: new Float32Array(size), v: new Float32Array(size) };
    const own = input.qkv.subarray(t * width, (t + 1) * width);
    const q = reference.prepareQkv(own, shape, optionsOf(input, t, T), exact);
    const kept = { k: new Float32Array(size), v: new Float32Array(size) };
    for (const which of ["k", "v"] as const)
      for (let head = 0; head < kvHeads; head++)
        for (let at = 0; at <= row; at++) {
          const from = rowAt(kvHeads, slot, head, at) * words;
          const have = decodedRow(format, made[which].subarray(from, from + words), D);
          const flat = (head * (row + 1) + at) * D;
          const want = exact[which].subarray(flat, flat + D);
          // Of its own a token has more than the cache has, in one kernel.
          kept[which].set(at < row || !attendsAtOnce(on, input.of) ? have : want, flat);
          if (at < row) continue;
          for (let i = 0; i < D; i++)
            if (!(Math.abs(have[i]! - want[i]!) <= mostError(format, want, i)))
              expect.fail(`${which} of token ${t} [${head}, ${i}]: ${have[i]}, want ${want[i]}`);
          untouched[which].set(input[which].subarray(from, from + words), from);
        }
    const y = made.y.subarray(t * heads * D, (t + 1) * heads * D);
    expectClose(y, reference.attention(q, kept, shape, gate ? own : undefined), 3e-5, `token ${t}`);
  }
  expect(untouched.k, "other rows of K").toEqual(input.k);
  expect(untouched.v, "other rows of V").toEqual(input.v);
}

function optionsOf({ of, norms, table, positions }: Given, t: number, T: number): reference.QkvInputs {
  const { headDim: D, sections } = of;
  return {
    ...{ gate: of.gate ?? false, eps: 1e-3, normOffset: of.offset ?? 0 },
    ...(of.norms ? { qNorm: norms.subarray(0, D), kNorm: norms.subarray(D) } : {}),
    rope: { table, dims: of.turning, ...(sections ? { sections } : {}) },
    positions: Uint32Array.from([0, 1, 2], (axis) => positions[axis * T + t]!),
  };
}

describe.each(["itself", "as a card"] as const)("the device %s", (device) => {
  const brief = process.env["NEURON_TEST_BRIEF"] !== undefined; // there a kernel is compiled anew each time
  test.each(brief ? cases.slice(2, 4) : cases)(
    "$heads heads on $kvHeads of $headDim, a cache in $format",
    async (of) => {
      const input = given(of);
      const on = devices[device]();
      const made = await run(on, input);
      expectTwins(on, input, made);
      if (of.format === "f32") return; // as in batch.gpu.test.ts
      const alone = await run(on, input, 0);
      expect(made.y.subarray(0, of.heads * of.headDim), "the bits of a token alone").toEqual(alone.y);
    },
  );
});

/** The device as it would be if a kernel said something else, and whether it does. */
function misled(on: Gpu, [from, to]: readonly [string, string]): { gpu: Gpu; met: () => boolean } {
  let met = false;
  const create = (asked: GPUShaderModuleDescriptor) => {
    met ||= asked.code.includes(from);
    return on.device.createShaderModule({ ...asked, code: asked.code.replace(from, to) });
  };
  const device = new Proxy(on.device, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (name === "createShaderModule") return create;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return { gpu: { ...on, device }, met: () => met };
}

/** By lanes, and by splits, whichever of both a device has. */
const mistakes: Record<string, readonly [lanes: [string, string], splits: [string, string]]> = {
  "a row that is not written": [
    ["let writes = group.x == 0u;", "let writes = false;"],
    ["own, own && block == 0u, i);", "own, false, i);"],
  ],
  "one row too far": [
    ["cache_row(slot, kv_head, past);", "cache_row(slot, kv_head, past + 1u);"],
    ["cache_row(slot_of(t), kv_head, row_of(t));", "cache_row(slot_of(t), kv_head, row_of(t) + 1u);"],
  ],
  "the own key left out": [
    ["var m = subgroupAdd(score);", "var m = vec4f(LOWEST);"],
    ["m += sums[j];", "m = vec4f(LOWEST);"],
  ],
};

test.each(Object.entries(mistakes))("the comparison notices %s", async (_, [lanes, splits]) => {
  const input = given(cases[3]!);
  for (const on of softwareLanes(gpu) === undefined ? [gpu] : [gpu, asCard(gpu)]) {
    const wrong = misled(on, softwareLanes(on) === undefined ? splits : lanes);
    const made = await run(wrong.gpu, input);
    expect(wrong.met()).toBe(true);
    expect(() => expectTwins(on, input, made)).toThrow(/token|other rows/);
  }
});
