// bench/results: one line of JSON for each row that was measured, in a file a day, adapter and bench. What the README's
// table and plot are drawn from.
import { appendFileSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { packageRoot } from "../engine/root.ts";
import { commit } from "./commit.ts";

export const resultsFolder = join(packageRoot, "bench", "results");

/** What every row tells of where it comes from. */
export interface Origin {
  bench: string;
  /** 2026-11-20 */
  date: string;
  commit: string;
  adapter: string;
  driver: string;
}

export type Row = Record<string, unknown>;

export function originOf(gpu: Gpu, bench: string): Origin {
  const date = new Date().toISOString().slice(0, 10);
  return { bench, date, commit: commit(), adapter: gpu.report.name, driver: gpu.report.driver };
}

/** Adds rows to the file of their day; returns its path. */
export function saveRows(origin: Origin, rows: readonly Row[], folder = resultsFolder): string {
  mkdirSync(folder, { recursive: true });
  const adapter = origin.adapter.toLowerCase().match(/[a-z0-9]+/)?.[0] ?? "unknown";
  const file = join(folder, `${origin.date}-${origin.bench}-${adapter}.jsonl`);
  appendFileSync(file, rows.map((row) => `${JSON.stringify({ ...origin, ...row })}\n`).join(""));
  return file;
}

/** Every row of every file, the oldest first. */
export function readRows(folder = resultsFolder): (Origin & Row)[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  return files.sort().flatMap((name) =>
    readFileSync(join(folder, name), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Origin & Row),
  );
}
