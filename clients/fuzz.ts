// Recorded requests, bent out of shape: each mutation is drawn from a seed, so that a failure can be had again. Pure.

import type { Recording } from "./recordings.ts";

export interface Mutant {
  /** Of the sequence: with the seed it names the mutant. */
  number: number;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
  /** What was done to it, for the report. */
  story: string[];
}

export type Random = () => number;

/** Numbers in [0, 1): mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `paths` are further routes that a body may be sent to. */
export function* mutants(
  recordings: readonly Recording[],
  paths: readonly string[],
  { count, seed }: { count: number; seed: number },
): Generator<Mutant> {
  const random = randomFrom(seed);
  for (let number = 0; number < count; number++) yield { number, ...mutant(recordings, paths, random) };
}

function mutant(recordings: readonly Recording[], paths: readonly string[], random: Random) {
  const one = pick(recordings, random);
  const story = [`${one.client} ${one.case}`];
  const foreign = random() < 0.15;
  const path = foreign ? pick(paths, random) : one.path;
  if (foreign) story.push(`to ${path}`);
  const body = structuredClone(one.body);
  const stream = random() < 0.5;
  if (isObject(body)) body.stream = stream;
  const root = { body };
  for (let n = Math.floor(random() * 4); n > 0; n--) story.push(bend(root, recordings, random));
  const bytes = random() < 0.1 ? broken(root.body, random, story) : Buffer.from(written(root.body));
  const method = random() < 0.03 ? pick(["GET", "PUT", "DELETE"], random) : "POST";
  return { method, path, headers: { ...one.headers, ...oddHeaders(random, story) }, body: bytes, story };
}

type Holder = Record<string, unknown> | unknown[];

/** Changes one place anywhere in it; says which and how. */
function bend(root: { body: unknown }, recordings: readonly Recording[], random: Random): string {
  const places = placesIn(root);
  const { holder, key, path } = pick(places, random);
  const at = holder as Record<string, unknown>;
  const kind = pick(["drop", "replace", "replace", "graft", "repeat", "rename", "wrap"] as const, random);
  if (kind === "drop") {
    if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else if (holder !== root) Reflect.deleteProperty(at, key);
  } else if (kind === "replace") at[key] = oddValue(random);
  else if (kind === "graft")
    at[key] = structuredClone(pick(placesIn({ body: pick(recordings, random).body }), random).value);
  else if (kind === "wrap") at[key] = random() < 0.5 ? [at[key]] : { [pick(oddKeys, random)]: at[key] };
  else if (kind === "repeat" && Array.isArray(holder)) holder.push(...holder.slice(0, 200));
  else if (kind === "rename" && !Array.isArray(holder) && holder !== root) {
    Object.defineProperty(at, pick(oddKeys, random), {
      value: at[key],
      enumerable: true,
      configurable: true,
      writable: true,
    });
    Reflect.deleteProperty(at, key);
  }
  return `${kind} ${path}`;
}

function placesIn(root: { body: unknown }): { holder: Holder; key: string; path: string; value: unknown }[] {
  const places: { holder: Holder; key: string; path: string; value: unknown }[] = [];
  const walk = (holder: Holder, path: string, depth: number) => {
    for (const [key, value] of Object.entries(holder)) {
      const here = path === "" ? key : `${path}.${key}`;
      places.push({ holder, key, path: here, value });
      if (depth < 40 && (isObject(value) || Array.isArray(value))) walk(value, here, depth + 1);
    }
  };
  walk(root, "", 0);
  return places;
}

const oddKeys = [
  "__proto__",
  "constructor",
  "toString",
  "",
  "type",
  "role",
  "content",
  "id",
  "a\u0000b",
  "ключ",
];
const oddTexts = [
  "",
  " ",
  "\u0000",
  "\ud800",
  "😀".repeat(50),
  "x".repeat(100_000),
  "../../etc/passwd",
  "data:image/png;base64,",
  "data:,",
  "http://127.0.0.1:1/",
  "file:///etc/passwd",
  "null",
  "{}",
  "[case tool]",
  "cortex1.",
  "resp_0",
  "msg_0",
  "rs_00000000000000000000000000000000_0",
  "user",
  "tool",
  "assistant",
  "function",
  "text",
  "<think>",
  "data: x\n\nevent: y",
];
const oddNumbers = [0, -0, -1, 1e308, -1e308, 1e-320, 2 ** 31, 2 ** 53, 0.5, 1e21];

function oddValue(random: Random): unknown {
  const kind = Math.floor(random() * 7);
  if (kind === 0) return null;
  if (kind === 1) return random() < 0.5;
  if (kind === 2) return pick(oddNumbers, random);
  if (kind === 3) return random() < 0.5 ? [] : {};
  if (kind === 4) return deep(pick([10, 1000, 20_000], random));
  return pick(oddTexts, random);
}

function deep(levels: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = i % 2 ? [value] : { a: value };
  return value;
}

/** JSON.stringify's own stack ends where a server's must not. */
function written(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  }
}

/** No JSON any more, or JSON in a way that nobody writes. */
function broken(value: unknown, random: Random, story: string[]): Buffer {
  const bytes = Buffer.from(written(value));
  const kind = pick(["cut", "flip", "twice", "empty", "mark", "numbers"] as const, random);
  story.push(kind);
  if (kind === "cut") return bytes.subarray(0, Math.floor(random() * bytes.length));
  if (kind === "twice") return Buffer.concat([bytes, bytes]);
  if (kind === "empty") return Buffer.alloc(0);
  if (kind === "mark") return Buffer.concat([Buffer.from("\ufeff"), bytes]);
  if (kind === "numbers") return Buffer.from(bytes.toString().replace(/\d+/, "9".repeat(400)));
  for (let i = 0; i < 5; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  return bytes;
}

function oddHeaders(random: Random, story: string[]): Record<string, string> {
  const odd: Record<string, string>[] = [
    { "content-type": "text/plain" },
    { "content-type": "application/json; charset=utf-16" },
    { "anthropic-version": "2023-06-01" },
    { "x-request-id": "a b" },
    { "x-claude-code-session-id": "x".repeat(5000) },
    { accept: "text/html" },
    { authorization: "Bearer " },
  ];
  if (random() > 0.15) return {};
  const headers = pick(odd, random);
  story.push(JSON.stringify(headers).slice(0, 60));
  return headers;
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)]!;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
