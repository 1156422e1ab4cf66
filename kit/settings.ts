// Settings of a daemon: flags over variables of the environment over a TOML file, held to a strict schema. Whatever is
// wrong is told at once, one line a problem, each with where the value was said, its key and the value.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import type { Table } from "./schema.ts";
import { holdsList, inside, isSecret, isTable, noTables, takesText, unknownKeys } from "./schema.ts";

/** A problem of the operator's: shown as it is, without a stack. */
export class ConfigError extends Error {}

export const Name = v.pipe(v.string(), v.nonEmpty("is empty"));
export const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Up to a day: a timer of more than 24 days would go off at once. */
export const Seconds = v.pipe(v.number(), v.gtValue(0), v.maxValue(86_400));

/** What is the daemon's own about its settings. */
export interface Layout<S extends v.GenericSchema> {
  schema: S;
  /** "neuron.toml" */
  file: string;
  /** "NEURON_" */
  prefix: string;
}

export interface Sources {
  /** --config; must exist. Without it the layout's file in the folder, if there is one. */
  file?: string | undefined;
  /** By the flag's name: the key that it sets, and to what; undefined: it was not given. */
  flags?: Readonly<Record<string, readonly [key: string, value: unknown]>> | undefined;
  env?: Readonly<Record<string, string | undefined>>;
  folder?: string;
}

export interface Read<T> {
  settings: T;
  /** The file that was read. */
  file: string | undefined;
}

/** Numbers are places in a list. */
type Path = readonly (string | number)[];

/** One value that somebody said; a list counts as one. */
interface Said {
  /** A file, a variable or a flag. */
  where: string;
  path: Path;
  value: unknown;
}

/** Throws ConfigError: `NEURON_PORT: port: Invalid value: Expected <=65535 but received 70000`. */
export function readSettings<S extends v.GenericSchema>(
  { schema, file, prefix }: Layout<S>,
  sources: Sources,
): Read<v.InferOutput<S>> {
  const { flags = {}, env = {}, folder = "." } = sources;
  const path = resolve(folder, sources.file ?? file);
  const text = textOf(path, sources.file === undefined);
  const names = Object.keys(env).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const said = [
    ...(text === undefined ? [] : leaves(path, [], parsed(path, text))),
    ...names.flatMap((name) => variable(schema, prefix, name, env[name])),
    ...Object.entries(flags).flatMap(([flag, [key, value]]) => leaves(flag, key.split("."), value)),
  ];
  return { settings: checked(schema, said), file: text === undefined ? undefined : path };
}

/** A file that has neither flags nor variables. Throws ConfigError. */
export function readTable<S extends v.GenericSchema>(schema: S, path: string): v.InferOutput<S> {
  return checked(schema, leaves(path, [], parsed(path, textOf(path, false)!)));
}

/** Undefined where there is no such file, and there need not be one. */
function textOf(path: string, mayMiss: boolean): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (mayMiss && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new ConfigError(`${path}: cannot be read: ${whyNot(error)}`);
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "it is a folder",
  ENOENT: "there is no such file",
  ENOTDIR: "a part of its path is no folder",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
};

/** Why a file could not be read or written, in words. */
export function whyNot(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? (code || message);
}

function parsed(path: string, text: string): Table {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column, message } = error;
    const [what] = message.split("\n"); // the rest is a picture of the line, which may hold a key
    throw new ConfigError(`${path}: line ${line}, column ${column}: ${what}`);
  }
}

/** Values one by one: tables of several sources are joined, lists are not. */
function leaves(where: string, path: Path, value: unknown): Said[] {
  if (value === undefined) return [];
  if (!isTable(value) || (Object.keys(value).length === 0 && path.length > 0))
    return [{ where, path, value }];
  return Object.entries(value).flatMap(([key, inner]) => leaves(where, [...path, key], inner));
}

/**
 * NEURON_HTTP__DRAIN_S=9 says http.drain_s, CORTEX_NEURONS__0__NAME=a the name of the first of a list. An empty one says
 * nothing. Names that are no key of ours, and have no `__`, belong to others; so does the tcp://… that Kubernetes writes
 * into NEURON_PORT for a service called neuron.
 */
function variable(schema: v.GenericSchema, prefix: string, name: string, text: string | undefined): Said[] {
  if (!name.startsWith(prefix) || text === undefined || text.trim() === "") return [];
  const keys = name.slice(prefix.length).toLowerCase().split("__");
  const isOfOthers =
    keys.length === 1 && (inside(schema, keys[0]!) === undefined || text.startsWith("tcp://"));
  if (isOfOthers) return [];
  let at: v.GenericSchema | undefined = schema;
  const path = keys.map((key) => {
    const isList = holdsList(at);
    if (isList && !/^\d{1,4}$/.test(key))
      throw new ConfigError(`${name}: expected a place in a list (0 and on) instead of ${key.toUpperCase()}`);
    at = inside(at, key);
    return isList ? Number(key) : key;
  });
  return leaves(name, path, valueOf(text, at));
}

/** A text as it stands, with or without quotes; other values as TOML has them, lists also without brackets. */
function valueOf(text: string, schema: v.GenericSchema | undefined): unknown {
  const value = tomlValue(text);
  if (takesText(schema)) return typeof value === "string" ? value : text;
  return value ?? (holdsList(schema) ? tomlValue(`[${text}]`) : undefined) ?? text;
}

function tomlValue(text: string): unknown {
  try {
    const { value, ...more } = parseToml(`value = ${text}`);
    return Object.keys(more).length === 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

function checked<S extends v.GenericSchema>(schema: S, said: readonly Said[]): v.InferOutput<S> {
  const tree: Table = {};
  const live: Said[] = [];
  for (const one of said) {
    const isReplaced = (earlier: Said) => isWithin(earlier.path, one.path);
    live.splice(0, live.length, ...live.filter((earlier) => !isReplaced(earlier)), one);
    put(tree, one);
  }
  const result = v.safeParse(schema, tree, { abortPipeEarly: true });
  const wrong = problems(schema, tree, result.issues ?? []);
  if (result.success && wrong.length === 0) return result.output;
  const lines = wrong.map(({ path, text }) => `${whereOf(live, path)}: ${text}`);
  throw new ConfigError(lines.join("\n"));
}

/** Valibot names the first unknown key of a table; we name all. It takes lists for tables; we do not. */
function problems(
  schema: v.GenericSchema,
  tree: Table,
  issues: readonly v.BaseIssue<unknown>[],
): { path: Path; text: string }[] {
  const unknown = unknownKeys(schema, tree).map((path) => ({ path, text: `${path.join(".")}: unknown key` }));
  const misfits = noTables(schema, tree).map((path) => ({
    path,
    text: `${path.join(".")}: expected a table`,
  }));
  const pathOf = (issue: v.BaseIssue<unknown>) => (issue.path ?? []).map(({ key }) => key as string | number);
  const isOfMisfit = (issue: v.BaseIssue<unknown>) =>
    misfits.some(({ path }) => isWithin(pathOf(issue), path));
  const others = issues.filter((issue) => !isUnknownKey(issue) && !isOfMisfit(issue));
  return [
    ...unknown,
    ...misfits,
    ...others.map((issue) => ({ path: pathOf(issue), text: describe(issue, schema) })),
  ];
}

function put(tree: Table, { where, path, value }: Said): void {
  let at: Table | unknown[] = tree;
  path.forEach((key, i) => {
    const here = at as Table;
    if (Array.isArray(at) && Number(key) > at.length)
      throw new ConfigError(`${where}: ${path.slice(0, i).join(".")} has only ${at.length}, counted from 0`);
    if (i === path.length - 1) {
      const saysNothing = isTable(value) && isTable(here[key]); // an empty table
      if (!saysNothing) here[key] = value;
      return;
    }
    here[key] ??= typeof path[i + 1] === "number" ? [] : {};
    if (typeof here[key] !== "object")
      throw new ConfigError(`${where}: ${path.slice(0, i + 1).join(".")} is not a table`);
    at = here[key] as Table | unknown[];
  });
}

/** Who said what is wrong: the last who said it whole, and those who said parts; else of what it is a part. */
function whereOf(said: readonly Said[], path: Path): string {
  const whole = said.findLast((one) => isWithin(path, one.path));
  const parts = said.filter((one) => one.path.length > path.length && isWithin(one.path, path));
  const names = new Set([...(whole ? [whole] : []), ...parts].map(({ where }) => where));
  if (names.size > 0) return [...names].join(", ");
  return path.length > 0 ? whereOf(said, path.slice(0, -1)) : "settings";
}

function isWithin(path: Path, outer: Path): boolean {
  return outer.every((key, i) => String(path[i]) === String(key));
}

/** One problem as a line: `gateway.listen: expected host:port (got "x")`. A secret is not shown. */
export function describe(issue: v.BaseIssue<unknown>, schema?: v.GenericSchema): string {
  const path = v.getDotPath(issue);
  const at = path === null ? "" : `${path}: `;
  if (isUnknownKey(issue)) return `${at}unknown key`;
  if (issue.type === "strict_object" && issue.received === "undefined") return `${at}is missing`;
  const tells = / received /i.test(issue.message);
  if (
    isSecret(
      schema,
      (issue.path ?? []).map(({ key }) => String(key)),
    )
  )
    return `${at}${tells ? "is not what is expected" : issue.message}`;
  const isShort = typeof issue.input !== "object" && issue.input !== "";
  return `${at}${shown(issue.message)}${tells || !isShort ? "" : ` (got ${shown(issue.received)})`}`;
}

function isUnknownKey({ type, expected }: v.BaseIssue<unknown>): boolean {
  return type === "strict_object" && expected === "never";
}

/** Without the password of an address, and not without end. */
function shown(text: string): string {
  return text.replace(/\/\/[^/@\s]*@/g, "//…@").slice(0, 300);
}
