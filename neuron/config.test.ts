import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";
import type { Sources } from "../kit/settings.ts";
import { loadConfig } from "./config.ts";

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

test("variables of ours", () => {
  const env = {
    NEURON_ADAPTER: "llvmpipe (LLVM 15)",
    NEURON_DEVICE: "0,1",
    NEURON_HUB__OFFLINE: "true",
    NEURON_DEFAULT_MODELS__0__MODEL_ID: "7",
    NEURON_PORT: "tcp://10.0.0.1:80",
    NEURON_TEST_ADAPTER: "x",
  };
  expect(load({ env })).toEqual({
    ...defaults,
    ...{ adapter: "llvmpipe (LLVM 15)", device: [0, 1], hub: { offline: true } },
    default_models: [{ model_id: "7" }],
  });
});

test.each<[string, Sources, string[]]>([
  ["an unknown key", { file: file("[http]\ndrain = 5") }, ["neuron.toml: http.drain: unknown key"]],
  [
    "a model without an id",
    { file: file("[[default_models]]\nsource = 'x'") },
    ["default_models.0.model_id: is missing"],
  ],
  ["a port out of range", { flags: { "--port": ["port", 70_000] } }, ["--port: port: ", "70000"]],
  [
    "a keepalive that clients would not wait for",
    { env: { NEURON_HTTP__KEEPALIVE_S: "11" } },
    ["http.keepalive_s:"],
  ],
  ["a name that is empty", { file: file("host = ''") }, ["host: is empty"]],
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
