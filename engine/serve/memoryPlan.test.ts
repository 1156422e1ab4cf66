import { describe, expect, test } from "vitest";
import { EngineError } from "../errors.ts";
import type { ModelConfig } from "../models/config.ts";
import {
  budgetOf,
  pageBytes,
  planLines,
  planMemory,
  readable,
  stateBytes,
  type MemoryPlan,
  type PlanRequest,
} from "./memoryPlan.ts";

const mib = 2 ** 20;
const rope = {
  theta: 10_000,
  dims: 16,
  scaling: { type: "none" },
  mropeSection: undefined,
} as ModelConfig["rope"];

/** Three delta-net layers, two of attention. */
const hybrid: PlanRequest["config"] = {
  layerTypes: [
    ...(["linear_attention", "linear_attention", "full_attention"] as const),
    ...(["linear_attention", "full_attention"] as const),
  ],
  ...{ kvHeads: 3, headDim: 40, maxPositions: 5000, rope },
  delta: { keyHeads: 2, valueHeads: 6, keyDim: 12, valueDim: 20, conv: 4, order: "grouped" },
};
const dense: PlanRequest["config"] = {
  ...hybrid,
  layerTypes: ["full_attention", "full_attention"],
  delta: undefined,
};
const page = 2 * 2 * 3 * 64 * 160;
const state = 3 * 4 * (4 * (2 * 2 * 12 + 6 * 20) + 6 * 12 * 20);

const request = (change: Partial<PlanRequest> = {}): PlanRequest => ({
  ...{ model: "org/model", config: hybrid, weightBytes: 40 * mib, scratchBytes: 7 * mib, stagingBytes: mib },
  pictureBytes: 0,
  ...{ slots: 5, contextLength: undefined, defaultContext: 2000, cacheTokens: undefined },
  ...{ snapshotBytes: 20 * state, headBytes: 160, maxBinding: 128 * mib },
  budget: { bytes: 500 * mib, source: "a test" },
  ...change,
});

function refusal(change: Partial<PlanRequest>): EngineError {
  try {
    planMemory(request(change));
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const bytesOf = (plan: MemoryPlan, what: string) => plan.parts.find((part) => part.what === what)?.bytes;

test("a page and a state, by hand", () => {
  expect(pageBytes(request())).toBe(page);
  expect(stateBytes(hybrid)).toBe(state);
  expect(stateBytes(dense)).toBe(0);
});

test("a released model's published figures: 16 layers × 4 heads × 256 in 16 bits are 64 KiB a token", () => {
  const layerTypes = Array.from({ length: 64 }, (_, i) =>
    i % 4 === 3 ? ("full_attention" as const) : ("linear_attention" as const),
  );
  const config = { ...hybrid, layerTypes, kvHeads: 4, headDim: 256 };
  expect(pageBytes({ config, headBytes: 512 }) / 64).toBe(64 * 1024);
});

test("with room for everything: a full context for each, all wanted snapshots", () => {
  const plan = planMemory(request());
  expect(plan).toMatchObject({ contextLength: 2000, pages: 5 * 32, pagesPerSequence: 32, snapshots: 20 });
  expect(plan.parts.map(({ what, bytes }) => [what, bytes])).toEqual([
    ["weights", 40 * mib],
    ["KV cache", 160 * page],
    ["states", 5 * state],
    ["snapshots", 20 * state],
    ["tables", 2000 * 16 * 4 + 5 * 32 * 4],
    ["scratch", 7 * mib],
    ["staging", mib],
  ]);
  expect(plan.totalBytes).toBe(plan.parts.reduce((sum, { bytes }) => sum + bytes, 0));
});

test("tables are allocated in whole 16 bytes", () => {
  const plan = planMemory(request({ contextLength: 65, config: { ...hybrid, rope: { ...rope, dims: 6 } } }));
  expect(bytesOf(plan, "tables")).toBe(1568 + 48); // 65 × 6 × 4 = 1560, 5 × 2 × 4 = 40
});

describe("what bounds it", () => {
  const fixed = 48 * mib + 5 * state;
  test.each<[string, Partial<PlanRequest>, Partial<MemoryPlan>]>([
    ["the checkpoint", { defaultContext: 9000 }, { contextLength: 5000, pages: 5 * 79 }],
    ["what is asked for", { contextLength: 65 }, { contextLength: 65, pages: 10, pagesPerSequence: 2 }],
    ["cacheTokens", { cacheTokens: 4033 }, { contextLength: 2000, pages: 64 }],
    ["cacheTokens, but one context must fit", { cacheTokens: 100 }, { contextLength: 2000, pages: 32 }],
    ["one binding", { maxBinding: 31 * 64 * 3 * 160 }, { contextLength: 31 * 64, pages: 31 }],
    ["no prefix cache", { snapshotBytes: 0 }, { snapshots: 0 }],
    ["a snapshot is whole", { snapshotBytes: 3 * state - 1 }, { snapshots: 2 }],
    ["a model without states has none", { config: dense }, { snapshots: 0, pages: 160 }],
    ["an unknown amount", { budget: undefined }, { contextLength: 2000, pages: 160, snapshots: 20 }],
    [
      "the budget, for the other sequences",
      { budget: { bytes: fixed + 40 * page, source: "" }, snapshotBytes: 0 },
      { contextLength: 2000, pages: 38 }, // the tables are as large as 1.05 pages
    ],
    [
      "the budget, for a context that nobody asked for",
      { budget: { bytes: fixed + 20 * page, source: "" } },
      { contextLength: 19 * 64, pages: 19, snapshots: 0 },
    ],
  ])("%s", (_, change, want) => expect(planMemory(request(change))).toMatchObject(want));

  test("saved states take at most a quarter of what one full context leaves", () => {
    const plan = planMemory(request({ snapshotBytes: 400 * mib, budget: { bytes: 80 * mib, source: "" } }));
    const left = 80 * mib - (fixed + 32 * page + bytesOf(plan, "tables")!);
    expect(plan.snapshots).toBe(Math.floor(left / 4 / state));
    expect(plan.pages).toBeGreaterThan(32);
  });
});

test("whatever is asked, the plan fits, and one page more would not or is not wanted", () => {
  let seed = 11;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  let refused = 0;
  for (let i = 0; i < 3000; i += 1) {
    const change = {
      slots: 1 + random(9),
      ...(random(3) === 0 ? { contextLength: 1 + random(5000) } : {}),
      ...(random(3) === 0 ? { cacheTokens: random(20_000) } : {}),
      config: random(2) === 0 ? hybrid : dense,
      snapshotBytes: random(30) * state,
      maxBinding: (1 + random(200)) * 64 * 3 * 160,
      budget: { bytes: 48 * mib + random(30 * mib), source: "a test" },
    };
    try {
      const plan = planMemory(request(change));
      expect(plan.totalBytes).toBeLessThanOrEqual(change.budget.bytes);
      expect(plan.pages).toBeGreaterThanOrEqual(plan.pagesPerSequence);
      expect(plan.contextLength).toBeLessThanOrEqual(plan.pagesPerSequence * 64);
      if (change.contextLength !== undefined) expect(plan.contextLength).toBe(change.contextLength);
      const full = plan.totalBytes + page > change.budget.bytes;
      const bound = (plan.pages + 1) * 64 * 3 * 160 > change.maxBinding;
      const cap = change.cacheTokens === undefined ? change.slots * plan.pagesPerSequence : 0;
      const enough =
        plan.pages >= Math.max(cap, plan.pagesPerSequence, Math.ceil((change.cacheTokens ?? 0) / 64));
      expect(full || bound || enough, JSON.stringify(plan)).toBe(true);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      expect(error.code).toBe("out_of_memory");
      expect(error.details["needed"]).toBeGreaterThan(error.details["available"] as number);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(100);
  expect(refused).toBeLessThan(2900);
});

describe("refusals", () => {
  test("the arithmetic is in the message", () => {
    const error = refusal({ contextLength: 1500, budget: { bytes: 48 * mib, source: "a test" } });
    const tables = 1500 * 16 * 4 + 5 * 24 * 4;
    const needed = 48 * mib + 24 * page + 5 * state + tables;
    expect(error).toMatchObject({ code: "out_of_memory", details: { needed, available: 48 * mib } });
    expect(error.message).toBe(
      "org/model does not fit: a context of 1500 tokens and 5 at once take " +
        `weights 40.00 MiB + KV cache ${readable(24 * page)} + states ${readable(5 * state)} + ` +
        `tables ${readable(tables)} + scratch 7.00 MiB + staging 1.00 MiB = ${readable(needed)}; ` +
        `there are 48.00 MiB (a test), ${readable(needed - 48 * mib)} are missing; ` +
        "a shorter context, fewer sequences at once or smaller weights would need less",
    );
  });

  test("a context that nobody asked for is refused below 1024 tokens only", () => {
    expect(refusal({ budget: { bytes: 49 * mib, source: "" } }).message).toContain(
      "a context of 1024 tokens and",
    );
  });

  test.each<[string, Partial<PlanRequest>, string]>([
    [
      "keys of a layer",
      { contextLength: 5000, maxBinding: mib },
      `org/model: a context of 5000 tokens needs ${79 * 64 * 3 * 160} bytes of keys a layer, and the device binds at most ${mib}`,
    ],
    [
      "states of a layer",
      { slots: 300, maxBinding: mib },
      `org/model: 300 sequences at once need ${100 * state} bytes of states a layer, and the device binds at most ${mib}`,
    ],
  ])("%s in one binding", (_, change, message) => {
    expect(refusal(change)).toMatchObject({ code: "out_of_memory", message });
  });

  test("more than the checkpoint has", () => {
    expect(refusal({ contextLength: 5001 })).toMatchObject({
      code: "bad_request",
      message: "context length 5001 is too long: the checkpoint's max_position_embeddings is 5000",
    });
  });
});

test.each([
  [{ totalMb: 8192, usedMb: 1000 }, undefined, (8192 - 1000 - 410) * mib],
  [{ totalMb: 2000, usedMb: 100 }, undefined, (2000 - 100 - 256) * mib],
  [{ totalMb: 2000, usedMb: 1999 }, undefined, 0],
  [{ totalMb: 8192, usedMb: 1000 }, 3000, 3000 * mib],
  [undefined, 3000, 3000 * mib],
  [undefined, undefined, undefined],
])("of a device with %o, configured %s: %s bytes", (memory, configured, bytes) => {
  expect(budgetOf(memory, configured)?.bytes).toBe(bytes);
});

test("what other models were promised is not there to be given again", () => {
  const memory = { totalMb: 10_000, usedMb: 1000 };
  const free = (10_000 - 500 - 1000) * mib;
  expect(budgetOf(memory, undefined)!.bytes).toBe(free);
  expect(budgetOf(memory, undefined, 300 * mib)!.bytes).toBe(free); // it is used already
  expect(budgetOf(memory, undefined, 1700 * mib)!.bytes).toBe(free - 700 * mib);
  expect(budgetOf(memory, undefined, 99_000 * mib)!.bytes).toBe(0);
  expect(budgetOf(memory, 4000, 1700 * mib)).toEqual({
    bytes: 2300 * mib,
    source: "the configured limit of 3.91 GiB, 1.66 GiB promised to other models",
  });
});

test("embeddings of pictures are a part, where there are eyes", () => {
  expect(planMemory(request()).parts.map(({ what }) => what)).not.toContain("pictures");
  const [blind, seeing] = [planMemory(request()), planMemory(request({ pictureBytes: 5 * mib }))];
  expect(bytesOf(seeing, "pictures")).toBe(5 * mib);
  expect(seeing.totalBytes - blind.totalBytes).toBe(5 * mib);
});

test("the table", () => {
  const budget = budgetOf({ totalMb: 8192, usedMb: 1000 }, undefined);
  expect(planLines(planMemory(request({ budget })))).toEqual([
    "memory of org/model: a context of 2000 tokens, 5 sequences at once",
    "  weights     40.00 MiB       41,943,040",
    "  KV cache    18.75 MiB       19,660,800  160 pages × 120.00 KiB (64 tokens, 2 layers)",
    "  states     123.75 KiB          126,720  5 slots × 24.75 KiB (3 layers)",
    "  snapshots  495.00 KiB          506,880  20 slots × 24.75 KiB (3 layers)",
    "  tables     125.63 KiB          128,640  rotary angles, page table",
    "  scratch      7.00 MiB        7,340,032  activations",
    "  staging      1.00 MiB        1,048,576  results on their way to the host",
    "  total       67.48 MiB       70,754,688  of 6.62 GiB (device memory of 8.00 GiB, 1000.00 MiB used, 410.00 MiB left to others)",
  ]);
});

test.each([
  [0, "0 bytes"],
  [1023, "1023 bytes"],
  [1024, "1.00 KiB"],
  [1.5 * 2 ** 30, "1.50 GiB"],
  [2 ** 52, "4096.00 TiB"],
])("%d bytes are %s", (bytes, text) => expect(readable(bytes)).toBe(text));
