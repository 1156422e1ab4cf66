// docs/performance.md: what bench/results holds, newest first; each file is the last line of a `npm run bench`.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Result {
  bench: string;
  commit?: string;
  device?: string;
  rows?: Record<string, unknown>[];
}

const folder = join(import.meta.dirname, "../../bench/results");

export function performancePage(results = readResults()): string {
  return [
    "# Performance",
    "",
    "Measured by `npm run bench`, which prints a table for people and, as its last line, JSON; the lines that were kept",
    "under `bench/results` are the tables below. `bench/LOG.md` tells what was tried, won and lost. On your own device:",
    "",
    "```console",
    "$ npm run bench -- kernels",
    "```",
    "",
    ...(results.length === 0
      ? [
          "No results are kept yet: nothing has been measured on a device that is worth comparing with yours.",
          "",
        ]
      : results.flatMap(section)),
  ].join("\n");
}

function readResults(): { file: string; result: Result }[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return files
    .sort()
    .reverse()
    .map((file) => ({ file, result: JSON.parse(readFileSync(join(folder, file), "utf8")) as Result }));
}

function section({ file, result }: { file: string; result: Result }): string[] {
  const { bench, device, commit, rows = [] } = result;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = (row: Record<string, unknown>) => columns.map((column) => cell(row[column])).join(" | ");
  const about = [device && `on ${device}`, commit && `at ${commit.slice(0, 10)}`, `(\`${file}\`)`];
  const table =
    columns.length === 0
      ? []
      : [
          `| ${columns.join(" | ")} |`,
          `|${"---|".repeat(columns.length)}`,
          ...rows.map((row) => `| ${cells(row)} |`),
          "",
        ];
  return [`## ${bench}`, "", about.filter(Boolean).join(" "), "", ...table];
}

function cell(value: unknown): string {
  if (typeof value === "number")
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
  if (value === undefined || value === null) return "";
  return (typeof value === "object" ? JSON.stringify(value) : String(value as string)).replaceAll("|", "\\|");
}
