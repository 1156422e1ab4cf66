// Log lines: a level, an event, and named values. Text for people, JSON for machines; never a prompt, never a key.
//   2026-11-20T12:00:00.000Z info request id=… model=demo status=200 ms=41.2

export type Level = "debug" | "info" | "warn" | "error";
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log extends Record<Level, (event: string, fields?: Fields) => void> {
  /** From now on. */
  configure(options: Pick<LogOptions, "level" | "format">): void;
}

export interface LogOptions {
  level: Level;
  format: "text" | "json";
  write?: (line: string) => void;
}

const order: readonly Level[] = ["debug", "info", "warn", "error"];

export function createLog({ write = toStderr, ...options }: LogOptions): Log {
  const set = { ...options };
  const at =
    (line: Level) =>
    (event: string, fields: Fields = {}) => {
      if (order.indexOf(line) < order.indexOf(set.level)) return;
      const print = set.format === "json" ? jsonLine : textLine;
      write(print(new Date().toISOString(), line, event, fields));
    };
  const configure = (next: Pick<LogOptions, "level" | "format">) => void Object.assign(set, next);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), configure };
}

function jsonLine(time: string, level: Level, event: string, fields: Fields): string {
  return JSON.stringify({ time, level, event, ...fields });
}

function textLine(time: string, level: Level, event: string, fields: Fields): string {
  let line = `${time} ${level} ${event}`;
  for (const key in fields) if (fields[key] !== undefined) line += ` ${key}=${plain(fields[key])}`;
  return line;
}

/** Quoted when it would not stand as one word: what a client sends must not forge a line. */
function plain(value: string | number | boolean): string {
  const text = String(value);
  return /^[\x21\x23-\x7e]+$/.test(text)
    ? text
    : JSON.stringify(text).replace(/[\x7f-\x9f\u2028\u2029]/g, "?");
}

/** How long a line may wait for others, to be written with them: a write for each request costs as much as the request. */
const gatheringMs = 50;
let gathered = "";

function toStderr(line: string): void {
  if (gathered === "") setTimeout(flush, gatheringMs).unref();
  gathered += `${line}\n`;
}

function flush(): void {
  const lines = gathered;
  gathered = "";
  if (lines !== "") process.stderr.write(lines);
}

process.on("exit", flush);
