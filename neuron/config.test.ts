import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";
import { loadConfig } from "./config.ts";
import type { Sources } from "./config.ts";

const nowhere = mkdtempSync(join(tmpdir(), "neuron-config-"));
const load = (sources: Sources) => loadConfig({ folder: nowhere, ...sources }).config;

function file(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "neuron-config-")), "neuron.toml");
  writeFileSync(path, text);
  return path;
}

const defaults = {
  host: "127.0.0.1",
  port: 13131,
  max_queue: 64,
  max_queue_tokens: 262_144,
  prefix_cache: true,
  kv_cache: "f32",
  strict: false,
  sum_format: "f32",
  log_level: "info",
  log_format: "text",
  http: { body_limit_mb: 32, keepalive_s: 5, stall_s: 30, drain_s: 5 },
  images: {
    max_mb: 20,
    max_megapixels: 50,
    max_per_request: 32,
    cache_mb: 128,
    fetch: false,
    fetch_timeout_s: 10,
  },
  hub: {},
  default_models: [],
};

test("nothing said", () => {
  expect(loadConfig({ folder: nowhere })).toEqual({ config: defaults, file: undefined });
});

test("the example is valid, shows the defaults, and its comments hold valid keys too", () => {
  const path = join(packageRoot, "neuron.example.toml");
  expect(load({ file: path })).toEqual({ ...defaults, default_models: [{ model_id: "demo" }] });
  const text = readFileSync(path, "utf8");
  const uncommented = text.replace(/^# (\w+ *=|\[)/gm, "$1");
  expect(load({ file: file(uncommented) })).toMatchObject({
    device: 0,
    tensor_parallel: 2,
    weights: [2, 1],
    adapter: "radeon",
    context_length: 8192,
    step_limit_s: 120,
    load_limit_s: 120,
    max_per_principal: 4,
    memory_limit_mb: 20_000,
    images: { budget_pixels: 1_048_576 },
    hub: { endpoint: "https://hub.example.org", cache_folder: "/srv/models", offline: true },
    default_models: [
      { model_id: "demo" },
      { model_id: "small", source: "Qwen/Qwen3-0.6B", context_length: 16384 },
    ],
  });
});

test("neuron.toml of the folder is taken without being named", () => {
  const path = file("port = 5");
  const { config, file: read } = loadConfig({ folder: join(path, "..") });
  expect([config.port, read]).toEqual([5, path]);
});

test("flags over environment over file", () => {
  const path = file("port = 1\nhost = 'a'\nlog_level = 'warn'\n[http]\ndrain_s = 1\nstall_s = 2");
  const env = { NEURON_PORT: "2", NEURON_HOST: "b", NEURON_HTTP__DRAIN_S: "3" };
  expect(
    load({ file: path, env, flags: { port: 4, host: undefined, hub: { offline: undefined } } }),
  ).toMatchObject({
    port: 4,
    host: "b",
    log_level: "warn",
    http: { drain_s: 3, stall_s: 2 },
    hub: {},
  });
});

test.each([
  [{ cache_folder: "/srv", offline: undefined }, { cache_folder: "/srv" }],
  [{ cache_folder: undefined, offline: true }, { offline: true }],
])("a flag of a table of which nothing else is said: %j", (flags, hub) => {
  expect(load({ flags: { hub: flags } })).toEqual({ ...defaults, hub });
});

test("values of variables are read as TOML, else as text", () => {
  const env = {
    NEURON_ADAPTER: "llvmpipe (LLVM 15)",
    NEURON_HUB__OFFLINE: "true",
    NEURON_DEFAULT_MODELS: '[{ model_id = "a" }, { model_id = "b" }]',
  };
  expect(load({ env })).toMatchObject({
    adapter: "llvmpipe (LLVM 15)",
    hub: { offline: true },
    default_models: [{ model_id: "a" }, { model_id: "b" }],
  });
});

test("variables of others are left alone", () => {
  const env = {
    NEURON_PORT: "tcp://10.0.0.1:80",
    NEURON_SERVICE_HOST: "10.0.0.1",
    NEURON_TEST_ADAPTER: "x",
    PORT: "1",
  };
  expect(load({ env })).toEqual(defaults);
});

test.each<[string, Sources, string[]]>([
  ["an unknown key", { file: file("colour = 'red'") }, ['unknown key "colour"', "neuron.toml"]],
  ["an unknown key inside", { file: file("[http]\ndrain = 5") }, ['unknown key "http.drain"']],
  [
    "two problems",
    { file: file("port = 'x'\n[http]\ndrain = 5") },
    ["port: Invalid type", 'unknown key "http.drain"'],
  ],
  [
    "a model without an id",
    { file: file("[[default_models]]\nsource = 'x'") },
    ["default_models.0.model_id"],
  ],
  ["a port out of range", { flags: { port: 70_000 } }, ["port:", "70000"]],
  [
    "a keepalive that clients would not wait for",
    { flags: { http: { keepalive_s: 11 } } },
    ["http.keepalive_s:"],
  ],
  ["no TOML", { file: file("# ours\nport = ") }, ["neuron.toml: line 2: Invalid TOML"]],
  ["no file", { file: "/nowhere/x.toml" }, ["cannot read /nowhere/x.toml: ENOENT"]],
  [
    "a table that is none",
    { env: { NEURON_HOST__X: "1" }, flags: {}, file: file("host = 'a'") },
    ['"host" is not a table'],
  ],
])("refuses %s", (_, sources, words) => {
  let error: unknown;
  try {
    load(sources);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(EngineError);
  expect((error as EngineError).code).toBe("bad_config");
  for (const word of words) expect((error as EngineError).message).toContain(word);
});
