// The reader that both daemons share, with a schema that has one of everything.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as v from "valibot";
import { Secret } from "./schema.ts";
import { ConfigError, Count, Name, readSettings, readTable, Seconds, whyNot } from "./settings.ts";
import type { Sources } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "settings-"));
afterAll(() => rmSync(folder, { recursive: true }));

const schema = v.strictObject({
  name: v.optional(Name, "nobody"),
  port: v.optional(v.pipe(Count, v.maxValue(65_535)), 1),
  fast: v.optional(v.boolean(), false),
  kind: v.exactOptional(v.picklist(["7", "eight"])),
  device: v.exactOptional(v.union([Count, v.array(Count)])),
  either: v.exactOptional(v.union([v.boolean(), v.string()])),
  http: v.optional(v.strictObject({ drain_s: v.optional(Seconds, 5), stall_s: v.optional(Seconds, 6) }), {}),
  headers: v.optional(v.record(Name, v.pipe(v.string(), v.metadata({ secret: true }))), {}),
  boxes: v.optional(v.array(v.strictObject({ id: Name, key: v.exactOptional(Secret) })), []),
});
const layout = { schema, file: "box.toml", prefix: "BOX_" };
const defaults = {
  ...{ name: "nobody", port: 1, fast: false, http: { drain_s: 5, stall_s: 6 }, headers: {}, boxes: [] },
};

interface Given extends Sources {
  toml?: string;
}

/** `toml` stands in a file that is named. */
function read({ toml, ...sources }: Given) {
  const file = toml === undefined ? sources.file : join(folder, "named.toml");
  if (toml !== undefined) writeFileSync(file!, toml);
  return readSettings(layout, { folder, ...sources, file }).settings;
}

function complaint(given: Given): string {
  try {
    read(given);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replaceAll(`${folder}/`, "");
  }
  throw new Error("it was accepted");
}

test("nothing said, and a file in the folder that nobody named", () => {
  expect(readSettings(layout, { folder })).toEqual({ settings: defaults, file: undefined });
  const path = join(folder, "box.toml");
  writeFileSync(path, "\ufeffport = 5"); // as some editors begin a file
  expect(readSettings(layout, { folder })).toEqual({ settings: { ...defaults, port: 5 }, file: path });
  rmSync(path);
});

test("flags over variables over the file, key by key", () => {
  const toml = "port = 1\nname = 'a'\nfast = true\n[http]\ndrain_s = 1\nstall_s = 2";
  const env = { BOX_PORT: "2", BOX_NAME: "b", BOX_HTTP__DRAIN_S: "3" };
  const flags = {
    "--port": ["port", 4],
    "--name": ["name", undefined],
    "--stall": ["http.stall_s", 7],
  } as const;
  expect(read({ toml, env, flags })).toEqual({
    ...{ ...defaults, port: 4, name: "b", fast: true },
    http: { drain_s: 3, stall_s: 7 },
  });
});

test.each<[string, Record<string, string>, object]>([
  ["a text that looks like a number", { BOX_NAME: "007", BOX_KIND: "7" }, { name: "007", kind: "7" }],
  ["a text with quotes, and with what TOML reads otherwise", { BOX_NAME: '"a # b"' }, { name: "a # b" }],
  ["a text with a # and no quotes", { BOX_NAME: "a # b" }, { name: "a # b" }],
  ["a text that looks like more TOML", { BOX_NAME: "5\nport = 9" }, { name: "5\nport = 9" }],
  [
    "a number as TOML writes it",
    { BOX_PORT: "1_000", BOX_HTTP__DRAIN_S: "1e1" },
    { port: 1000, http: { drain_s: 10, stall_s: 6 } },
  ],
  ["what may be a text, or something else", { BOX_EITHER: "true" }, { either: true }],
  ["a list", { BOX_DEVICE: "[2, 1]" }, { device: [2, 1] }],
  ["a list without brackets", { BOX_DEVICE: "2,1" }, { device: [2, 1] }],
  ["one that may be a list", { BOX_DEVICE: "2" }, { device: 2 }],
  [
    "a table, and one key of it",
    { BOX_HTTP__DRAIN_S: "3", BOX_HTTP: "{ stall_s = 4 }" },
    { http: { drain_s: 3, stall_s: 4 } },
  ],
  ["a list of tables", { BOX_BOXES: '[{ id = "a" }, { id = "b" }]' }, { boxes: [{ id: "a" }, { id: "b" }] }],
  [
    "places of a list, eleven of them",
    Object.fromEntries([...Array(11).keys()].map((i) => [`BOX_BOXES__${i}__ID`, `${i}`])),
    { boxes: [...Array(11).keys()].map((i) => ({ id: `${i}` })) },
  ],
  ["keys of the user's own", { BOX_HEADERS__X_1: "5" }, { headers: { x_1: "5" } }],
  ["an empty one", { BOX_PORT: "", BOX_HTTP__DRAIN_S: " " }, {}],
  [
    "those of others",
    { BOX_PORT: "tcp://10.0.0.1:80", BOX_SERVICE_HOST: "h", BOX_CONSTRUCTOR: "1", PORT: "3" },
    {},
  ],
])("a variable: %s", (_, env, want) => expect(read({ env })).toEqual({ ...defaults, ...want }));

test("a variable reaches into a list of the file", () => {
  const toml = "[[boxes]]\nid = 'a'\n[[boxes]]\nid = 'b'";
  expect(read({ toml, env: { BOX_BOXES__1__KEY: "k" } }).boxes).toEqual([{ id: "a" }, { id: "b", key: "k" }]);
});

test("an empty table says nothing of what stands in it", () => {
  expect(read({ toml: "[http]\ndrain_s = 1", env: { BOX_HTTP: "{}" } }).http).toEqual({
    ...{ drain_s: 1, stall_s: 6 },
  });
});

test.each<[string, Given, string]>([
  [
    "all problems at once, and where each was said",
    {
      toml: "colour = 1\nsize = 2\nname = ''\n[http]\ndrain = 5\nstall_s = 0",
      env: { BOX_FAST: "perhaps" },
      flags: { "--port": ["port", 70_000] },
    },
    `named.toml: colour: unknown key
named.toml: size: unknown key
named.toml: http.drain: unknown key
named.toml: name: is empty
--port: port: Invalid value: Expected <=65535 but received 70000
BOX_FAST: fast: Invalid type: Expected boolean but received "perhaps"
named.toml: http.stall_s: Invalid value: Expected >0 but received 0`,
  ],
  ["one problem a value", { env: { BOX_PORT: "-1.5" } }, "BOX_PORT: port: Invalid integer: Received -1.5"],
  [
    "what a variable replaced is not to blame",
    { toml: "port = 'x'", env: { BOX_PORT: "y" } },
    'BOX_PORT: port: Invalid type: Expected number but received "y"',
  ],
  [
    "nor are its parts",
    { env: { BOX_BOXES__0__ID: "a" }, flags: { "--boxes": ["boxes", 5] } },
    "--boxes: boxes: Invalid type: Expected Array but received 5",
  ],
  [
    "a value that looks like more TOML",
    { env: { BOX_PORT: "5\nfast = true" } },
    'BOX_PORT: port: Invalid type: Expected number but received "5\nfast = true"',
  ],
  [
    "a key that is missing where others are",
    { env: { BOX_BOXES__0__KEY: "k" } },
    "BOX_BOXES__0__KEY: boxes.0.id: is missing",
  ],
  [
    "a list's entry that is skipped",
    { env: { BOX_BOXES__3__ID: "a" } },
    "BOX_BOXES__3__ID: boxes has only 0, counted from 0",
  ],
  [
    "a name where a place belongs",
    { env: { BOX_BOXES__A__ID: "a" } },
    "BOX_BOXES__A__ID: expected a place in a list (0 and on) instead of A",
  ],
  [
    "a key of what is no table",
    { toml: "name = 'a'", env: { BOX_NAME__X: "1" } },
    "BOX_NAME__X: name is not a table",
  ],
  ["an unknown table", { toml: "[http2]\n" }, "named.toml: http2: unknown key"],
  [
    "an unknown key within a list",
    { toml: "[[boxes]]\nid = 'a'\n[[boxes]]\nid = 'b'\nx = 1" },
    "named.toml: boxes.1.x: unknown key",
  ],
  [
    "a secret of the wrong kind",
    { toml: "[headers]\na = 31337\n[[boxes]]\nid = 'a'\nkey = 31337" },
    "named.toml: headers.a: is not what is expected\nnamed.toml: boxes.0.key: expected a text",
  ],
  ["a secret that is empty", { toml: "[[boxes]]\nid = 'a'\nkey = ''" }, "named.toml: boxes.0.key: is empty"],
  [
    "lists and dates where tables belong",
    { toml: "http = [1]\nheaders = []\nboxes = [2026-12-01]" },
    "named.toml: http: expected a table\nnamed.toml: headers: expected a table\nnamed.toml: boxes.0: expected a table",
  ],
  [
    "a table where a list belongs",
    { toml: "[boxes]\nid = 'a'" },
    "named.toml: boxes: Invalid type: Expected Array but received Object",
  ],
  [
    "what is long, not to its end",
    { env: { BOX_PORT: "x".repeat(1000) } },
    `BOX_PORT: port: Invalid type: Expected number but received "${"x".repeat(300)}`.slice(0, 300 + 16),
  ],
  [
    "the password of an address",
    { env: { BOX_PORT: "nats://me:pw@host" } },
    'BOX_PORT: port: Invalid type: Expected number but received "nats://…@host"',
  ],
  [
    "a mistake in the TOML",
    { toml: "# ours\nport = 5 6" },
    "named.toml: line 2, column 10: Invalid TOML document: each key-value declaration must be followed by an end-of-line",
  ],
  ["a file that is not there", { file: "absent.toml" }, "absent.toml: cannot be read: there is no such file"],
  ["a folder", { file: ".." }, `${join(folder, "..")}: cannot be read: it is a folder`],
])("%s", (_, given, want) => expect(complaint(given)).toBe(want));

test.each([
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["EISDIR", "it is a folder"],
  ["ENOENT", "there is no such file"],
  ["ENOTDIR", "a part of its path is no folder"],
  ["EROFS", "the file system is read-only"],
  ["EMFILE", "EMFILE"],
  [undefined, "its own words"],
])("why not, with %s: %s", (code, words) => {
  expect(whyNot(Object.assign(new Error("its own words"), { code }))).toBe(words);
});

test("a folder of the file's own name is not taken for no file", () => {
  mkdirSync(join(folder, "box.toml"));
  expect(complaint({})).toBe("box.toml: cannot be read: it is a folder");
  rmSync(join(folder, "box.toml"), { recursive: true });
});

test("a file alone", () => {
  writeFileSync(join(folder, "alone.toml"), "port = 'x'");
  expect(() => readTable(schema, join(folder, "alone.toml"))).toThrow(/alone\.toml: port: Invalid type/);
});
