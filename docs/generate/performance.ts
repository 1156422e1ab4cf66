// docs/performance.md: every row of bench/results, newest first, a table for each bench, adapter and day.

import { readRows, type Origin, type Row } from "../../bench/results.ts";

type Kept = Origin & Row;

export function performancePage(rows: readonly Kept[] = readRows()): string {
  return [
    "# Performance",
    "",
    "Measured by `npm run bench`; the rows that it kept under `bench/results` are the tables below. `share` is of the",
    "adapter's own ceiling, which the same run measures through plain WGSL. On software adapters time is processor time.",
    "`bench/LOG.md` tells what was tried, won and lost. On your own device:",
    "",
    "```console",
    "$ npm run bench -- kernels",
    "```",
    "",
    ...(rows.length === 0 ? ["No results are kept yet.", ""] : groups(rows).flatMap(section)),
  ].join("\n");
}

/** Rows that belong in one table, the newest tables first. */
function groups(rows: readonly Kept[]): Kept[][] {
  const found = new Map<string, Kept[]>();
  for (const row of rows) {
    const key = `${row.date} ${row.bench} ${row.adapter}`;
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return [...found].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, group]) => group);
}

function section(rows: readonly Kept[]): string[] {
  const { bench, adapter, driver, date } = rows[0]!;
  const flat = rows.map(figuresOf);
  const columns = [...new Set(flat.flatMap((row) => Object.keys(row)))];
  return [
    ...[`## ${bench}, ${date}`, "", `${adapter} (${driver})`, ""],
    `| ${columns.join(" | ")} |`,
    `|${"---|".repeat(columns.length)}`,
    ...flat.map((row) => `| ${columns.map((column) => cell(row[column])).join(" | ")} |`),
    "",
  ];
}

/** What a row says besides where it comes from; figures of one thing side by side: `ttft_ms.p50`. */
function figuresOf({ bench: _, date: _day, adapter: _on, driver: _with, ...row }: Kept): Row {
  return Object.fromEntries(
    Object.entries(row).flatMap(([name, value]) =>
      typeof value === "object" && value !== null
        ? Object.entries(value).map(([part, figure]) => [`${name}.${part}`, figure] as const)
        : [[name, value] as const],
    ),
  );
}

function cell(value: unknown): string {
  if (typeof value === "number")
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
  if (value === undefined || value === null) return "";
  return (typeof value === "object" ? JSON.stringify(value) : String(value as string)).replaceAll("|", "\\|");
}
