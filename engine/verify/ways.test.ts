import { expect, test, vi } from "vitest";
import type { Gpu } from "../gpu/adapter.ts";
import type { Tuning, Way } from "../gpu/tuning.ts";
import type { CaseReport } from "./verify.ts";
import { verifyEveryWay } from "./ways.ts";

const matmul = { kernel: "matmul", format: "bf16", N: 8, T: 4 };
const tiles = ["tiles of 32", "tiles of 64", "tiles of 32, 2 splits"].map((name): Way => ({ name }));
const matrices: Way = { name: "matrices 8x8x8", rounds: "f16" };
const bytes: Way = { name: "bytes, tiles of 32", rounds: "bytes" };
const splits = ["8 splits", "4 splits"].map((name): Way => ({ name }));
const attention = {
  kernel: "attention split",
  format: "f32",
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  T: 1,
} as const;

/** What a model of two shapes asks for; a kernel of the last split is wrong. */
function answersOf(tuning: Tuning): string[] {
  const short = tuning.choose({ ...matmul, K: 64 }, [tiles[0]!, tiles[1]!, matrices]);
  const long = tuning.choose({ ...matmul, K: 512 }, [...tiles, matrices, bytes]);
  const one = tuning.choose(attention, splits);
  return [short, long, one].map(({ name }) => name);
}

vi.mock("./verify.ts", async (original) => ({
  ...(await original<object>()),
  async *verifyFolder({ tuning }: Gpu, _: string, { mode }: { mode: string }) {
    const answers = answersOf(tuning);
    yield await Promise.resolve({ name: answers.join(" | "), mode, passed: !answers.includes("4 splits") });
  },
}));

test("each kernel goes through its ways, by name, whatever their number in a shape", async () => {
  const seen = [];
  for await (const round of verifyEveryWay({} as Gpu, "folder", { mode: "f32" })) {
    const reports: (CaseReport & { mode?: string })[] = [];
    for await (const report of round.reports) reports.push(report);
    expect(reports[0]).toMatchObject({ mode: round.mode });
    seen.push({ ways: round.ways, mode: round.mode, name: reports[0]!.name, passed: reports[0]!.passed });
  }
  expect(seen).toEqual([
    { ways: {}, mode: "f32", name: "tiles of 32 | tiles of 32 | 8 splits", passed: true },
    {
      ways: { "matmul bf16": "tiles of 64", "attention split f32": "4 splits" },
      mode: "f32",
      name: "tiles of 64 | tiles of 64 | 4 splits",
      passed: false,
    },
    {
      ways: { "matmul bf16": "matrices 8x8x8" },
      mode: "bf16",
      name: "matrices 8x8x8 | matrices 8x8x8 | 8 splits",
      passed: true,
    },
    {
      ways: { "matmul bf16": "tiles of 32, 2 splits" },
      mode: "f32",
      name: "tiles of 32 | tiles of 32, 2 splits | 8 splits",
      passed: true,
    },
    {
      ways: { "matmul bf16": "bytes, tiles of 32" },
      mode: "bytes",
      name: "tiles of 32 | bytes, tiles of 32 | 8 splits",
      passed: true,
    },
  ]);
});

test("bounds that were asked for are not made stricter", async () => {
  const seen = [];
  for await (const { mode, reports } of verifyEveryWay({} as Gpu, "folder", { mode: "bf16" })) {
    while (!(await reports.next()).done) continue;
    seen.push(mode);
  }
  expect(seen).toEqual(["bf16", "bf16", "bf16", "bf16", "bytes"]);
});
