import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newest, plotOf, shareOf, tableOf, withTable } from "./report.ts";
import { comparisonOf, newestRuns, peerTable } from "./reportPeers.ts";
import { readRows, saveRows, type Origin } from "./results.ts";

const origin = (date: string, bench: string): Origin => ({
  ...{ bench, date, commit: "abc1234", adapter: "llvmpipe (LLVM 15)", driver: "Mesa" },
});
const kernel = (share: number | undefined) => ({
  name: "matvec bf16 6144×1024",
  rate: 17.44,
  unit: "GB/s",
  share,
});
const model = { model: "m", quant: "q8_0", phase: "decode", tokens: 32, tokensPerSecond: 9.04, share: 0.5 };

test("rows are kept by day and bench, and read back oldest first", () => {
  const folder = mkdtempSync(join(tmpdir(), "results-"));
  try {
    saveRows(origin("2026-11-21", "kernels"), [kernel(0.7)], folder);
    saveRows(origin("2026-11-20", "kernels"), [kernel(0.4)], folder);
    const file = saveRows(origin("2026-11-20", "kernels"), [kernel(0.5)], folder);
    expect(file).toBe(join(folder, "2026-11-20-kernels-llvmpipe.jsonl"));
    const rows = readRows(folder);
    expect(rows.map(({ share }) => share)).toEqual([0.4, 0.5, 0.7]);
    expect(rows[0]).toEqual({ ...origin("2026-11-20", "kernels"), ...kernel(0.4) });
    expect(newest(rows.flatMap(shareOf)).map(({ share }) => share)).toEqual([0.7]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the table and the plot show shares, and nothing that is none", () => {
  const rows = [
    { ...origin("2026-11-20", "kernels"), ...kernel(0.66) },
    { ...origin("2026-11-20", "kernels"), ...kernel(1), name: "wall: read" },
    { ...origin("2026-11-20", "kernels"), ...kernel(undefined), name: "matvec without" },
    { ...origin("2026-11-20", "models"), ...model },
  ];
  const shares = rows.flatMap(shareOf);
  const table = tableOf(shares);
  expect(table.split("\n")).toHaveLength(8);
  expect(table).toContain("| matvec bf16 6144×1024 | 17.4 GB/s | 66 % | 2026-11-20, abc1234 |");
  expect(table).toContain("| m q8_0, decode 32 | 9.0 tokens/s | 50 % |");
  const card = { ...shares[0]!, adapter: "a card" };
  expect(tableOf([...shares, card]).match(/^On .*$/gm)).toEqual(["On llvmpipe (LLVM 15):", "On a card:"]);
  const brief = { ...origin("2026-11-20", "models"), ...model, tokens: 8 };
  expect(shareOf(brief)).toEqual([]); // made for a slow peer
  const plot = plotOf(shares);
  expect(plot.match(/<rect /g)).toHaveLength(4);
  expect(plot).toContain('width="180.0"'); // half of the bar
});

test("of what ran beside a peer, the runs at the newest commit: the middle ratio, and how far they lie apart", () => {
  const beside = (commit: string, peer?: string, ratio?: number) => ({
    ...{ ...origin("2026-11-20", "models"), ...model, commit, peer, ratio },
    peerTokensPerSecond: ratio && 9.04 / ratio,
  });
  const rows = [
    beside("1", "a b", 20),
    ...[0.5, 0.7, 0.6].map((ratio) => beside("2", "a b", ratio)),
    beside("1", "c", 12),
    beside("3"),
    { ...origin("2026-11-20", "matmuls"), format: "q4_i8", rows: 1, peer: "c", ratio: 23.46 },
    { ...origin("2026-11-20", "load"), peer: "c", ratio: 2 },
  ].map((row) => ({ ...row, rate: 11.85, peerRate: 0.506, unit: "GB/s" }));
  const table = peerTable(newestRuns(rows.flatMap(comparisonOf)));
  expect(table.trim().split("\n")).toEqual([
    ...["On llvmpipe (LLVM 15):", ""],
    ...["| beside | case | times as fast | ours | theirs | measured |", "|---|---|---|---|---|---|"],
    "| a b | m q8_0, decode 32 | **0.60** (3 runs, 0.50 to 0.70) | 9.04 tokens/s | 15.1 tokens/s | 2026-11-20, 2 |",
    "| c | m q8_0, decode 32 | **12.0** | 9.04 tokens/s | 0.75 tokens/s | 2026-11-20, 1 |",
    "| c | product 1·1024×3072 q4, x in 8 bits | **23.5** | 11.8 GB/s | 0.51 GB/s | 2026-11-20, abc1234 |",
  ]);
});

test("the table takes the place of the one before, between the markers", () => {
  const text = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb";
  const first = withTable(text, "bench", "new");
  expect(first).toBe("a\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nb");
  expect(withTable(first, "bench", "new")).toBe(first);
  expect(() => withTable(text, "peers", "new")).toThrow('has no "<!-- peers: begin -->"');
});
