import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import type { EngineOptions } from "../engine/index.ts";
import { loadConfig } from "./config.ts";
import { startDaemon } from "./daemon.ts";
import type { Daemon } from "./daemon.ts";
import { emptyModelFolder, json, post } from "./daemon.fixture.ts";
import { FakeEngine, FakeModel, content, started } from "./fake-engine.fixture.ts";
import { startHub } from "./hub.fixture.ts";
import { createLog } from "./log.ts";

let daemon: Daemon | undefined;
let engine: FakeEngine;
let asked: EngineOptions | undefined;
let lines: string[];

afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
});

async function start(set: Record<string, unknown>, env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
  const flags = Object.entries({ port: 0, ...set }).map(
    ([key, value]) => [`--${key}`, [key, value]] as const,
  );
  const { config } = loadConfig({ flags: Object.fromEntries(flags), env, folder: emptyModelFolder() });
  engine ??= new FakeEngine();
  lines = [];
  asked = undefined;
  const log = createLog({ level: "info", json: false }, { write: (line) => lines.push(line.trimEnd()) });
  const openEngine = async (options: EngineOptions) => {
    asked = options;
    return Promise.resolve(engine);
  };
  daemon = await startDaemon(config, { log, env, openEngine });
  return daemon;
}

afterEach(() => {
  engine = undefined as unknown as FakeEngine;
});

test("says where it listens, what it serves and how", async () => {
  const model = emptyModelFolder();
  const images = { max_mb: 1.5, max_megapixels: 2, max_per_request: 4, budget_pixels: 5000, cache_mb: 6 };
  const flags = {
    device: 1,
    adapter: "fake",
    sum_format: "bf16",
    context_length: 999,
    max_queue: 3,
    max_per_principal: 2,
    step_limit_s: 7,
    load_limit_s: 8,
    max_in_flight: 5,
    memory_limit_mb: 6,
    ...{ prefix_cache: false, kv_cache: "f16", autotune: false, strict: true, shader_checks: true },
    images,
  };
  const { url, activated, models } = await start({
    ...flags,
    default_models: [{ model_id: "m", source: model }],
  });
  await activated;
  const limits = { bytes: 1.5 * 2 ** 20, pixels: 2e6, perRequest: 4, budget: 5000, cacheBytes: 6 * 2 ** 20 };
  expect(asked).toEqual({
    device: 1,
    adapter: "fake",
    wire: "bf16",
    maxQueue: 3,
    maxQueueTokens: 262_144,
    maxPerPrincipal: 2,
    maxInFlight: 5,
    memoryLimitMb: 6,
    ...{ prefixCache: false, kvCache: "f16", autotune: false, strict: true, shaderChecks: true },
    stepLimitMs: 7000,
    loadLimitMs: 8000,
    images: { ...limits, remote: undefined },
  });
  expect(engine.options).toEqual([{ contextLength: 999 }]);
  expect(lines).toEqual([
    `listening on ${url}`,
    expect.stringMatching(/^m: reading ░*█+░* +33% 1 kB of 1 kB, 1 of 4 tensors$/),
    "memory of m: a context of 4096 tokens, 1 sequence at once",
    "  weights     10.00 MiB       10,485,760",
    "  KV cache     4.00 MiB        4,194,305  64 pages",
    "  total       14.00 MiB       14,680,065  of 1.00 GiB (a test)",
    expect.stringMatching(/^m: loaded in [\d.]+ s, 15 MiB, context of 4096 tokens, 40 dispatches a token$/),
    `ready: ${url}/v1 serves m on Fake GPU`,
  ]);
  expect(models.activation.completed).toEqual(["m"]);
});

test("says how to get a model when it has none", async () => {
  const { url, activated } = await start({});
  await activated;
  expect(lines).toEqual([
    `listening on ${url}, with no model yet: start with --model, or POST ${url}/models/load`,
  ]);
});

test("warns when it listens to the network", async () => {
  await start({ host: "0.0.0.0" });
  expect(lines[0]).toContain("warning: listening on 0.0.0.0: whoever reaches this host can use the models");
});

test("a model that cannot be loaded is told, and the daemon stays", async () => {
  engine = new FakeEngine();
  engine.next = new EngineError("unsupported_model", 'model_type "gpt2" is not one of: qwen3');
  const { url, activated } = await start({ default_models: [{ model_id: emptyModelFolder() }] });
  await activated;
  expect(lines.at(-2)).toMatch(/error: .*: model_type "gpt2" is not one of: qwen3$/);
  expect(lines.at(-1)).toContain("no default model could be loaded");
  expect((await json(fetch(`${url}/health`))).activation.failed[0].error).toContain("gpt2");
});

test("a model folder that is missing ends it before the device is opened", async () => {
  await expect(start({ default_models: [{ model_id: "/no/model" }] })).rejects.toMatchObject({
    code: "model_not_found",
  });
  expect(asked).toBeUndefined();
});

test("a port that is taken ends it, and the device is closed again", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  await expect(start({ port })).rejects.toMatchObject({
    code: "port_in_use",
    message: `port ${port} on 127.0.0.1 is taken, perhaps by another neuron; choose one with --port`,
  });
  expect(engine.closed).toBe(true);
  other.close();
});

test("an address that is not ours", async () => {
  await expect(start({ host: "203.0.113.7" })).rejects.toMatchObject({ code: "bad_config" });
});

test("a default model of the hub comes from the cache or is downloaded", async () => {
  const hub = await startHub({ "config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights" });
  const env = { HF_HOME: emptyModelFolder("home"), HF_ENDPOINT: hub.endpoint };
  const { url, activated } = await start({ default_models: [{ model_id: "org/tiny@v2" }] }, env);
  await activated;
  await hub.close();
  expect(await json(fetch(`${url}/models`))).toMatchObject([{ id: "org/tiny@v2", status: "loaded" }]);
  expect(engine.loads).toEqual([join(env.HF_HOME, "hub", "models--org--tiny", "snapshots", hub.commit)]);
});

test("status answers while a model loads, and while answers run", async () => {
  engine = new FakeEngine();
  let open: (value?: unknown) => void = () => undefined;
  engine.gate = new Promise((resolve) => (open = resolve));
  const folder = emptyModelFolder();
  writeFileSync(join(folder, "config.json"), "{}");
  const { url, activated } = await start({ default_models: [{ model_id: "m", source: folder }] });
  expect(await json(fetch(`${url}/health`))).toMatchObject({
    activation: { state: "pre_warming", in_progress: "m" },
  });
  open();
  await activated;
  expect(await json(fetch(`${url}/health`))).toMatchObject({
    activation: { state: "ready", in_progress: null },
  });
});

test("stop lets a running answer end in its time, refuses new ones, and closes the device", async () => {
  engine = new FakeEngine();
  let go: (value?: unknown) => void = () => undefined;
  const model = engine.next as FakeModel;
  model.script = [
    started,
    content("a"),
    new Promise((resolve) => (go = resolve)),
    ...new FakeModel().script.slice(1),
  ];
  const { url, activated, stop } = await start({
    default_models: [{ model_id: "m", source: emptyModelFolder() }],
  });
  await activated;
  const body = { model: "m", messages: [{ role: "user", content: "hi" }] };
  const running = post(`${url}/v1/chat/completions`, body);
  while (model.load.running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const stopped = stop();
  await expect(post(`${url}/v1/chat/completions`, body)).rejects.toThrow();
  expect(engine.closed).toBe(false);
  go();
  expect((await json(running)).choices[0].message.content).toBe("aHello world");
  await stopped;
  expect(engine.closed).toBe(true);
});

test("stop cuts off what outlasts its time", async () => {
  engine = new FakeEngine();
  const model = engine.next as FakeModel;
  model.script = [started, new Promise(() => undefined)];
  const flags = { default_models: [{ model_id: "m", source: emptyModelFolder() }], http: { drain_s: 0.1 } };
  const { url, activated, stop } = await start(flags);
  await activated;
  const running = post(`${url}/v1/chat/completions`, {
    model: "m",
    messages: [{ role: "user", content: "hi" }],
  });
  while (model.load.running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await stop();
  const answer = await running;
  expect([answer.status, answer.headers.get("retry-after"), (await json(answer)).error.code]).toEqual([
    503,
    "15",
    "shutting_down",
  ]);
});
