// What the daemon tells whoever started it, on stderr: lines for people, or one JSON object a line.

import { colour } from "../kit/colour.ts";

export const levels = ["debug", "info", "warn", "error", "silent"] as const;
export type Level = (typeof levels)[number];

export interface Log {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
  /** A line that the next one overwrites, on a terminal; elsewhere a plain line, at most every ten seconds. */
  progress(line: string): void;
}

interface Sink {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

const quietMs = 10_000;

/** A log that leaves out what is below `level`. */
export function createLog(options: { level: Level; json: boolean }, sink: Sink = process.stderr): Log {
  const terminal = sink.isTTY === true && !options.json;
  const least = levels.indexOf(options.level);
  let bar = false;
  let lastProgress = -Infinity;

  function say(level: Exclude<Level, "silent">, line: string): void {
    if (levels.indexOf(level) < least) return;
    sink.write(`${bar ? "\r\x1b[K" : ""}${options.json ? jsonLine(level, line) : humanLine(level, line)}\n`);
    bar = false;
  }

  function progress(line: string): void {
    if (levels.indexOf("info") < least) return;
    if (terminal) {
      sink.write(`\r\x1b[K${line.slice(0, (sink.columns ?? 80) - 1)}`);
      bar = true;
    } else if (performance.now() - lastProgress >= quietMs) {
      lastProgress = performance.now();
      say("info", line);
    }
  }

  return {
    debug: (line) => say("debug", line),
    info: (line) => say("info", line),
    warn: (line) => say("warn", line),
    error: (line) => say("error", line),
    progress,
  };
}

function jsonLine(level: string, message: string): string {
  return JSON.stringify({ time: new Date().toISOString(), level, message });
}

function humanLine(level: string, line: string): string {
  if (level === "warn") return `${colour.yellow("warning:")} ${line}`;
  if (level === "error") return `${colour.red("error:")} ${line}`;
  return level === "debug" ? colour.dim(line) : line;
}

/** A bar of 24 cells with its figures, e.g. `demo: reading ████░░ 33% 2.0/6.0 MB`. */
export function progressLine(label: string, done: number, total: number): string {
  const share = total > 0 ? Math.min(done / total, 1) : 0;
  const cells = Math.round(share * 24);
  const bar = "█".repeat(cells) + "░".repeat(24 - cells);
  return `${label} ${bar} ${String(Math.round(share * 100)).padStart(3)}% ${size(done)} of ${size(total)}`;
}

/** Bytes for people: 1.5 GB, 20.0 MB, 12 kB. */
export function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${Math.ceil(bytes / 1e3)} kB`;
}
