// Requests as clients really send them, kept in recorded/: every key, type, order and id as it was, but of long texts only
// their length, for they are other people's words.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Recorded } from "./recorder.ts";

export interface Recording {
  client: string;
  case: string;
  method: string;
  path: string;
  /** Those that a server may read. */
  headers: Record<string, string>;
  body: unknown;
}

const folder = join(import.meta.dirname, "recorded");
const longest = 64;
const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** The other cases have what is in these. */
const saidElsewhere = ["text", "tool"];

/** With CLIENTS_RECORD set, the last request of a case is left in recorded/: it has all the turns in it. */
export function keepRecording(client: string, name: string, requests: readonly Recorded[]): void {
  const last = requests.findLast(({ method, body }) => method === "POST" && body !== "");
  if (!process.env.CLIENTS_RECORD || !last || saidElsewhere.includes(name)) return;
  const { method, path, headers, body } = last;
  const recording: Recording = {
    ...{ client, case: name, method, path, headers: telling(headers) },
    body: shortened(JSON.parse(body)),
  };
  mkdirSync(folder, { recursive: true });
  const file = `${client}-${name}.json`.toLowerCase().replaceAll(/[^\w.-]+/g, "-");
  writeFileSync(join(folder, file), `${JSON.stringify(recording, null, 1)}\n`);
}

export function readRecordings(): Recording[] {
  return readdirSync(folder)
    .sort()
    .map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as Recording);
}

function telling(headers: Recorded["headers"]): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) =>
    /^(anthropic-|x-|session|accept$|content-type)/.test(name),
  );
  return Object.fromEntries(kept.map(([name, value]) => [name, shortText(String(value))]));
}

function shortened(value: unknown): unknown {
  if (typeof value === "string") return shortText(value);
  if (Array.isArray(value)) return value.map(shortened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shortened(inner)]));
}

function shortText(whole: string): string {
  const text = whole.replaceAll(/[^\s"]*cortex-client-\w+/g, "/home/user");
  const data = /^data:[^;]+;base64,/.exec(text)?.[0];
  if (data) return data + pixel;
  if (text.startsWith("iVBORw0KGgo")) return pixel;
  if (text.startsWith("{")) return shortJson(text);
  if (text.startsWith("cortex1.") || text.startsWith("x-anthropic-billing-header:"))
    return text.slice(0, longest);
  return text.length <= longest && !text.includes("\n") ? text : `(${text.length} characters)`;
}

/** Arguments, and Claude Code's metadata, are JSON within JSON. */
function shortJson(text: string): string {
  try {
    return JSON.stringify(shortened(JSON.parse(text)));
  } catch {
    return `(${text.length} characters)`;
  }
}
