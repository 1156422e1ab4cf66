import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newest, plotOf, shareOf, tableOf, withTable } from "./report.ts";
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
  expect(table.split("\n")).toHaveLength(4);
  expect(table).toContain(
    "| matvec bf16 6144×1024 | 17.4 GB/s | 66 % |  | llvmpipe (LLVM 15) | 2026-11-20, abc1234 |",
  );
  expect(table).toContain("| m q8_0, decode 32 | 9.0 tokens/s | 50 % |");
  const plot = plotOf(shares);
  expect(plot.match(/<rect /g)).toHaveLength(4);
  expect(plot).toContain('width="180.0"'); // half of the bar
});

test("what ran beside several peers at one commit names them all, and an older commit's are forgotten", () => {
  const beside = (commit: string, peer?: string, ratio?: number) => ({
    ...origin("2026-11-20", "models"),
    ...{ ...model, commit, peer, ratio },
  });
  const peerOf = (...rows: ReturnType<typeof beside>[]) =>
    newest(rows.flatMap(shareOf)).map(({ peer }) => peer);
  const [a, b, again] = [beside("1", "a", 12.06), beside("1", "b b", 0.5), beside("1", "a", 11)];
  expect(peerOf(a, b, again)).toEqual(["11.0 × a; 0.5 × b b"]);
  expect(peerOf(a, beside("2", "b b", 0.6))).toEqual(["0.6 × b b"]);
  expect(peerOf(a, beside("2"))).toEqual([undefined]);
});

test("the table takes the place of the one before, between the markers", () => {
  const text = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb";
  const first = withTable(text, "new");
  expect(first).toBe("a\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nb");
  expect(withTable(first, "new")).toBe(first);
  expect(() => withTable("nothing", "new")).toThrow("has no");
});
