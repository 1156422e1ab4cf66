// Every dense kernel × weight format × variant compiles and binds on the null backend, and takes the dispatches it should.
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { heldTo, oneWidth, varying, watchHeld } from "../../test-fixtures/dense.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import type { Subgroups } from "../gpu/subgroups.ts";
import { isBlockFormat, permanent, weightFormats, type WeightFormat } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import { createWeight } from "../gpu/weight.ts";
import { matvecWays } from "./cards.ts";
import { embed } from "./embed.ts";
import { linear, normLinear, normSwiglu, swiglu, type LinearOptions } from "./linear.ts";
import { rmsNorm } from "./norm.ts";
import { lastRow } from "./rows.ts";
import { rowLanes, spread } from "./variants.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

function guise(kind: "hardware" | "software", subgroupSize: Subgroups, name = "null"): Gpu {
  return {
    ...gpu,
    has: { ...gpu.has, subgroups: true },
    subgroupSize,
    report: { ...gpu.report, kind, name },
  };
}

function recording(on: Gpu, capacity: number, batch = false): Recording {
  return new Recording(on, { capacity, batch, step: permanent(on, "step", [4], undefined, "u32") });
}

/** The kernels of x · Wᵀ in all its endings, the weight in two shards. */
async function projections(
  on: Gpu,
  T: number,
  K: number,
  format: WeightFormat,
  N = 30,
): Promise<readonly string[]> {
  const pass = recording(on, T);
  const W = createWeight(on, "W", [N, K], format, { limit: 24 * K * 4 });
  const x = permanent(on, "x", [T, K]);
  const bias = permanent(on, "bias", [N]);
  const add = permanent(on, "add", [T, N]);
  const endings: LinearOptions[] = [{}, { bias }, { add }, { bias, add }];
  const outputs = endings.map((options) => linear(pass, x, W, options));
  const plan = await pass.finish([...outputs, swiglu(pass, x, W)]);
  return plan.kernels;
}

const devices: [string, "hardware" | "software", Subgroups, one: string, many: string][] = [
  ["llvmpipe", "software", oneWidth(8), "matvec_tiles", "matmul_lanes"],
  ["software with subgroups of 8", "software", oneWidth(8), "matvec_lanes", "matmul_lanes"],
  ["SwiftShader", "software", oneWidth(4), "matvec_lanes", "matmul_lanes"],
  ["software without a fixed subgroup", "software", varying, "matvec", "matmul"],
  ["a card with subgroups of 32", "hardware", oneWidth(32), "matvec", "matmul"],
  ["a card whose subgroups vary", "hardware", varying, "matvec", "matmul"],
  ["a card whose kernels are held to 32", "hardware", heldTo(32), "matvec", "matmul"],
  ["a card whose kernels are held to 16", "hardware", heldTo(16), "matvec", "matmul"],
];

/** Rows that are not whole quads are not kept in tiles. */
const alone = (one: string, K: number) => (K % 8 === 0 ? one : one.replace("_tiles", "_lanes"));

test.each(devices)("projections on %s", async (name, kind, lanes, one, many) => {
  const on = guise(kind, lanes, name);
  for (const format of weightFormats) {
    for (const K of isBlockFormat(format) ? [256] : [64, 70]) {
      const shards = format === "f32" ? 2 : 1; // 24 rows of f32 to a shard
      expect(await projections(on, 1, K, format)).toEqual(Array(5 * shards).fill(alone(one, K)));
      expect(await projections(on, 19, K, format)).toEqual(Array(5 * shards).fill(many));
    }
  }
});

test.each(devices)("everything else on %s", async (name, kind, lanes, one) => {
  const on = guise(kind, lanes, name);
  for (const format of weightFormats) {
    const block = isBlockFormat(format);
    for (const [T, C] of [
      [1, block ? 512 : 64],
      [5, block ? 768 : 70],
    ] as const) {
      const pass = recording(on, T);
      const table = createWeight(on, "table", [40, C], format);
      const x = embed(pass, permanent(on, "ids", [T], undefined, "u32"), table);
      const norm = permanent(on, "norm", [C]);
      const last = lastRow(pass, rmsNorm(pass, x, norm, { eps: 1e-6, offset: 1 }));
      const plan = await pass.finish([linear(pass, last, table)]);
      const lastRows = T === 1 ? [] : ["last_row"];
      const expected = ["embed", "rms_norm", ...lastRows, alone(one, C)];
      expect(plan.kernels).toEqual(expected);
    }
  }
});

/** The kernels of the two projections behind a norm. */
async function normedProjections(on: Gpu, T: number, K: number, format: WeightFormat) {
  const pass = recording(on, T);
  const x = permanent(on, "x", [T, K]);
  const norm = permanent(on, "norm", [K]);
  const W = createWeight(on, "W", [30, K], format);
  const options = { eps: 1e-6, offset: 0 } as const;
  const bias = permanent(on, "bias", [30]);
  const linears = normLinear(pass, x, norm, options, W, { bias });
  return (await pass.finish([linears, normSwiglu(pass, x, norm, options, W)])).kernels;
}

test.each(devices)("a norm before a projection on %s", async (name, kind, lanes, one, many) => {
  const on = guise(kind, lanes, name);
  for (const format of ["f32", "f16", "bf16"] as const) {
    for (const K of [64, 70]) {
      const kernel = alone(one, K);
      expect(await normedProjections(on, 1, K, format)).toEqual([kernel, kernel]);
      expect(await normedProjections(on, 5, K, format)).toEqual(["rms_norm", many, "rms_norm", many]);
    }
  }
  const tooWide = on.limits.maxComputeWorkgroupStorageSize / 4; // nothing would be left to sum in
  const wide = one === "matvec" ? [one, one] : ["rms_norm", one, "rms_norm", one];
  expect(await normedProjections(on, 1, tooWide, "bf16")).toEqual(wide);
});

test.each([varying, heldTo(16)])(
  "as many tokens of a batch to a workgroup as its memory has room for: %o",
  async (lanes) => {
    const on = { ...guise("hardware", lanes), tuning: Tuning.only("256 lanes, 1, workgroup memory") };
    for (const K of [64, 2048, 8192])
      for (const T of [2, 5, 8]) {
        const pass = recording(on, T, true);
        const [x, gain] = [permanent(on, "x", [T, K]), permanent(on, "gain", [K])];
        const W = createWeight(on, "W", [30, K], "bf16");
        const products = [linear(pass, x, W), normLinear(pass, x, gain, { eps: 1e-6, offset: 0 }, W)];
        const plan = await pass.finish(products); // compiles, where there is no more room than every device has
        expect(plan.kernels).toEqual(["matvec", "matvec"]);
      }
  },
);

test("a workgroup is a subgroup only where every subgroup is that wide", () => {
  expect(rowLanes(guise("software", oneWidth(8)))).toEqual({ LANES: 8, reduce: "reduce/subgroup" });
  expect(rowLanes(guise("hardware", oneWidth(32)))).toEqual({ LANES: 32, reduce: "reduce/subgroup" });
  expect(rowLanes(guise("hardware", varying))).toEqual({ LANES: 64, reduce: "reduce/workgroup" });
  const none = { ...guise("software", oneWidth(8)), has: { ...gpu.has, subgroups: false } };
  expect(rowLanes(none)).toEqual({ LANES: 8, reduce: "reduce/workgroup" });
});

test("a card's mat-vec takes more lanes for longer rows, in subgroups where all are of one width", () => {
  const ways = (on: Gpu, K: number) =>
    matvecWays(on, K).map(({ LANES, QUADS, reduce, constants }) => {
      const parts = LANES % (constants["WIDTH"] ?? LANES);
      expect([parts, reduce]).toEqual([
        0,
        constants["WIDTH"] ? "reduce/lots_subgroups" : "reduce/lots_workgroup",
      ]);
      return `${LANES}/${QUADS}`;
    });
  expect(ways(guise("hardware", oneWidth(32)), 896)).toEqual([
    "32/1",
    "32/2",
    "64/1",
    "64/2",
    "128/1",
    "128/2",
  ]);
  expect(ways(guise("hardware", oneWidth(32)), 5120)[0]).toBe("128/1");
  expect(ways(guise("hardware", oneWidth(64)), 256)).toEqual(["64/1", "64/2"]);
  expect(ways(guise("hardware", varying), 27_648)[0]).toBe("256/1");
  expect(ways(guise("software", varying), 5120)).toEqual(["8/4"]);
});

test("where kernels are held to a width, sums in workgroup memory are ways too, and no guess", () => {
  const ways = (subgroups: Subgroups) => matvecWays(guise("hardware", subgroups), 896);
  const [one, held] = [ways(oneWidth(32)), ways(heldTo(32))];
  expect(held.slice(0, one.length)).toEqual(one);
  const more = held.slice(one.length);
  expect(more.map(({ name }) => name)).toEqual([32, 64, 128].map((n) => `${n} lanes, 1, workgroup memory`));
  for (const way of more)
    expect(way).toMatchObject({ QUADS: 1, reduce: "reduce/lots_workgroup", constants: {} });
  expect(ways(heldTo(16))[0]).toMatchObject({ LANES: 32, constants: { WIDTH: 16 } });
  expect(ways(varying).map(({ name }) => name)).toEqual(one.map(({ name }) => name));
  expect(matvecWays(guise("software", heldTo(8)), 896)).toHaveLength(1);
});

test("kernels with subgroups are held where the card has several widths, in every way of a mat-vec", async () => {
  const own = await openGpu({ backend: "null" }); // nothing is compiled there yet
  const report = { ...own.report, kind: "hardware" as const };
  const card = { ...own, report, subgroupSize: heldTo(16) };
  const seen = watchHeld(own);
  const ways = matvecWays(card, 256);
  for (const { name } of ways) await projections({ ...card, tuning: Tuning.only(name) }, 1, 256, "q8_0");
  expect(seen.length).toBeGreaterThan(0);
  expect(seen).toEqual(seen.map(() => ({ name: "matvec", held: true })));
  await projections({ ...card, subgroupSize: oneWidth(16) }, 1, 256, "q8_0");
  expect(seen.at(-1), "one that has but one").toEqual({ name: "matvec", held: false });
  own.destroy();
});

test.each([
  ["16x16x16", oneWidth(32)],
  ["8x16x16", oneWidth(32)],
  ["8x8x8", oneWidth(32)],
  ["16x16x16", heldTo(32)],
  ["8x16x16", heldTo(32)],
])("a prompt on a card that multiplies matrices of %s, subgroups of %o", async (shape, lanes) => {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  const subgroupMatrixConfigs = [{ componentType: "f16", resultComponentType: "f32", M, N, K }];
  const card = guise("hardware", lanes);
  const tuning = Tuning.only(`matrices ${shape}`);
  const on = { ...card, tuning, report: { ...card.report, subgroupMatrixConfigs } };
  for (const format of weightFormats) {
    const kernels = await projections(on, 19, isBlockFormat(format) ? 256 : 70, format);
    const shards = format === "f32" ? 2 : 1;
    const each = ["halve_rows", ...Array<string>(shards).fill("matmul_matrix")]; // W's are made before
    expect(kernels).toEqual(Array(5).fill(each).flat());
  }
  const strict = { ...on, tuning: Object.assign(Tuning.only(`matrices ${shape}`), { strict: true }) };
  expect(await projections(strict, 19, 64, "bf16")).toEqual(Array(5).fill("matmul"));
  const unsure = { ...on, subgroupSize: varying };
  expect(await projections(unsure, 19, 64, "bf16")).toEqual(Array(5).fill("matmul"));
});

test("matrices in tiles of 128 where there are some, and a workgroup has room for one", async () => {
  const card = guise("hardware", oneWidth(32));
  const ways = async (change: Partial<Gpu>, T: number, N: number, [M, n, K] = [16, 16, 16]) => {
    const tuning = new Tuning();
    const choose = vi.spyOn(tuning, "choose");
    const config = { componentType: "f16", resultComponentType: "f32", M: M!, N: n!, K: K! };
    const report = { ...card.report, subgroupMatrixConfigs: [config] };
    await projections({ ...card, report, ...change, tuning }, T, 64, "bf16", N);
    const names = choose.mock.calls[0]![1].map(({ name }) => name);
    return names.filter((name) => name.startsWith("matrices")).map((name) => name.split(", ")[1] ?? "of 64");
  };
  const limits = (maxComputeWorkgroupStorageSize: number, maxComputeInvocationsPerWorkgroup = 256) => ({
    limits: { ...card.limits, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup },
  });
  expect(await ways(limits(28_672), 128, 128)).toEqual(["of 64", "tiles of 128"]);
  expect(await ways(limits(28_671), 128, 128), "less memory").toEqual(["of 64"]);
  expect(await ways(limits(28_672, 255), 128, 128), "fewer invocations").toEqual(["of 64"]);
  expect(await ways(limits(28_672), 127, 128), "few tokens").toEqual(["of 64"]);
  expect(await ways(limits(28_672), 128, 126), "few columns").toEqual(["of 64"]);
  const narrow = { ...limits(28_672), subgroupSize: oneWidth(16) };
  expect(await ways(narrow, 128, 128, [8, 16, 16]), "128 sums to a lane").toEqual(["of 64"]);
});

test("a prompt's products of few results, split", async () => {
  const on = { ...guise("hardware", oneWidth(32)), tuning: Tuning.only("tiles of 32, 2 splits") };
  for (const format of weightFormats)
    expect((await projections(on, 19, 512, format)).slice(0, 2)).toEqual(["matmul", "matmul_merge"]);
  const short = Array<string>(5).fill("matmul");
  expect(await projections(on, 19, 256, "bf16"), "eight steps of 32 are left to each").toEqual(short);
});

test.each(devices)("a prompt in bytes on %s", async (name, kind, lanes, _, many) => {
  const software = many === "matmul_lanes";
  const tuning = Tuning.only(software ? "bytes" : "bytes, tiles of 64");
  const on = { ...guise(kind, lanes, name), tuning };
  for (const format of weightFormats.filter(isBlockFormat)) {
    const fits = software ? format !== "q2_k" : !["q2_k", "q3_k", "q6_k"].includes(format);
    const each = fits ? ["quantise_rows", software ? "matmul_bytes_lanes" : "matmul_bytes"] : [many];
    expect(await projections(on, 19, 256, format)).toEqual(Array(5).fill(each).flat());
    const both = kind === "software" ? ["rms_norm", "quantise_rows"] : ["rms_norm_bytes"];
    const before = fits ? both : ["rms_norm"];
    const normed = [...before, each.at(-1)!];
    expect(await normedProjections(on, 19, 256, format)).toEqual([...normed, ...normed]);
  }
  const strict = { ...on, tuning: Object.assign(tuning, { strict: true }) };
  expect(await projections(strict, 19, 256, "q8_0")).toEqual(Array(5).fill(many));
});

test.each([
  ["with subgroups of 32", oneWidth(32), "bytes, 128 lanes, 1"],
  ["whose subgroups vary", varying, "bytes, 64 lanes, 1"],
  ["whose kernels are held to 16", heldTo(16), "bytes, 32 lanes, 1"],
])("tokens in bytes on a card %s", async (_, lanes, name) => {
  const on = { ...guise("hardware", lanes), tuning: Tuning.only(name) };
  for (const format of weightFormats) {
    const fits = isBlockFormat(format);
    const each = fits ? ["quantise_rows", "matvec"] : ["matvec"];
    const kernels = await projections(on, 1, 4096, format);
    expect(kernels.filter((kernel, i) => kernel !== kernels[i - 1])).toEqual(
      fits ? Array(5).fill(each).flat() : each,
    );
    const normed = fits ? ["rms_norm_bytes", "matvec"] : ["matvec"];
    expect(await normedProjections(on, 1, 4096, format)).toEqual([...normed, ...normed]);
  }
  const strict = { ...on, tuning: Object.assign(Tuning.only(name), { strict: true }) };
  expect(new Set(await projections(strict, 1, 4096, "q8_0"))).toEqual(new Set(["matvec"]));
});

test.each([1, 65_535, 65_536, 200_000])("%i workgroups fit a grid", (count) => {
  const [x, y] = spread(count);
  expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
  expect(x * y).toBeGreaterThanOrEqual(count);
  expect(x * y - count).toBeLessThan(y);
});
