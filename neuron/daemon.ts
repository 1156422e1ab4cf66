// The daemon's life: open the device, listen, load the default models, serve, and end cleanly.

import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { EngineError } from "../engine/errors.ts";
import { planLines } from "../engine/index.ts";
import type { EngineOptions } from "../engine/index.ts";
import type { DeviceReport, Engine, ModelInfo } from "../engine/serve/types.ts";
import type { Config } from "./config.ts";
import { hubFrom } from "./hub.ts";
import { progressLine } from "./log.ts";
import type { Log } from "./log.ts";
import { distinct, watchMemory, type MemoryFigures } from "./memory.ts";
import { Models } from "./models.ts";
import type { Entry, Wanted } from "./models.ts";
import { parseReference, withQuant } from "./reference.ts";
import { buildServer } from "./server.ts";
import { snapshot } from "./snapshot.ts";

export interface DaemonDeps {
  log: Log;
  env: NodeJS.ProcessEnv;
  openEngine: (options: EngineOptions) => Promise<Engine>;
}

export interface Daemon {
  url: string;
  models: Models;
  /** Resolves when every default model is loaded or has failed. */
  activated: Promise<void>;
  /** Refuses new requests, lets running ones end within the configured time, then closes everything. Idempotent. */
  stop(): Promise<void>;
}

/** How long closing the device may take; after that the process ends anyway, ms. */
const closeLimitMs = 16_000; // longer than a device's thread may take: its end is cleaner than the process's

/** Throws port_in_use, no_adapter, model_not_found (a model folder that is missing), bad_config. */
export async function startDaemon(config: Config, { log, env, openEngine }: DaemonDeps): Promise<Daemon> {
  const wanted = config.default_models.map(wantedModel);
  // A typing error should show at once, not after the device has been opened.
  for (const { id, source, quant } of wanted) withQuant(parseReference(source ?? id), quant);
  const engine = await openEngine(engineOptions(config, env));
  const memory = watchAll(distinct(engine.devices));
  const models = new Models(engine, fetcher(config, env, log), config.context_length, config.quant);
  tell(models, log);
  tellHealth(engine, log);
  const stop = new AbortController();
  const app = buildServer({
    engine,
    models,
    memory: memory.current,
    log,
    stop: stop.signal,
    keepaliveMs: config.http.keepalive_s * 1000,
    stallMs: config.http.stall_s * 1000,
    bodyBytes: config.http.body_limit_mb * 2 ** 20,
  });
  let url: string;
  try {
    url = await listen(app, config);
  } catch (error) {
    memory.stop();
    await engine.close();
    throw error;
  }
  if (!isLoopback(config.host)) {
    log.warn(`listening on ${config.host}: whoever reaches this host can use the models; there are no keys`);
  }
  log.info(
    `listening on ${url}${wanted.length > 0 ? "" : `, with no model yet: start with --model, or POST ${url}/models/load`}`,
  );
  const activated = models.activate(wanted).then(() => announce(models, engine, url, log));

  async function end(): Promise<void> {
    models.close();
    memory.stop();
    // New connections and requests are refused from here on; running answers have their time.
    const closed = app.close();
    await drained(models, config.http.drain_s * 1000);
    stop.abort();
    // The last events of what was cut off go out before their sockets close.
    await sleep(50);
    app.server.closeAllConnections();
    await Promise.race([
      Promise.allSettled([closed, engine.close()]),
      sleep(closeLimitMs, undefined, { ref: false }),
    ]);
  }

  let ending: Promise<void> | undefined;
  return { url, models, activated, stop: () => (ending ??= end()) };
}

function engineOptions(config: Config, env: NodeJS.ProcessEnv): EngineOptions {
  return {
    ...devicesOf(config),
    adapter: config.adapter,
    shaderChecks: config.shader_checks,
    tensorParallel: config.tensor_parallel,
    pipelineParallel: config.pipeline_parallel,
    weights: config.weights,
    wire: config.sum_format,
    maxQueue: config.max_queue,
    maxQueueTokens: config.max_queue_tokens,
    maxPerPrincipal: config.max_per_principal,
    maxInFlight: config.max_in_flight,
    prefixCache: config.prefix_cache,
    kvCache: config.kv_cache,
    autotune: config.autotune,
    strict: config.strict,
    memoryLimitMb: config.memory_limit_mb,
    images: imageLimits(config.images),
    stepLimitMs: milliseconds(config.step_limit_s),
    loadLimitMs: milliseconds(config.load_limit_s),
    faults: env["NEURON_FAULTS"], // for tests only: engine/serve/faults.ts
  };
}

function devicesOf({ device }: Pick<Config, "device">): Pick<EngineOptions, "device" | "devices"> {
  return typeof device === "number" ? { device } : { devices: device };
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

function imageLimits(images: Config["images"]): NonNullable<EngineOptions["images"]> {
  const { max_mb, max_megapixels, max_per_request, budget_pixels, cache_mb, fetch, fetch_timeout_s } = images;
  return {
    bytes: Math.floor(max_mb * 2 ** 20),
    pixels: Math.floor(max_megapixels * 1e6),
    perRequest: max_per_request,
    budget: budget_pixels,
    cacheBytes: Math.floor(cache_mb * 2 ** 20),
    remote: fetch ? { timeoutMs: fetch_timeout_s * 1000, redirects: 3 } : undefined,
  };
}

function wantedModel(model: Config["default_models"][number]): Wanted {
  const { model_id, source, context_length, quant, devices, weights } = model;
  const { tensor_parallel, pipeline_parallel } = model;
  return {
    id: model_id,
    ...(source === undefined ? {} : { source }),
    ...(quant === undefined ? {} : { quant }),
    ...(context_length === undefined ? {} : { contextLength: context_length }),
    ...(devices === undefined ? {} : { devices }),
    ...(tensor_parallel === undefined ? {} : { tensorParallel: tensor_parallel }),
    ...(pipeline_parallel === undefined ? {} : { pipelineParallel: pipeline_parallel }),
    ...(weights === undefined ? {} : { weights }),
  };
}

function fetcher(config: Config, env: NodeJS.ProcessEnv, log: Log): ConstructorParameters<typeof Models>[1] {
  const hub = hubFrom(env, config.hub);
  return ({ name, revision, quant }, onProgress, signal) =>
    snapshot(hub, name, revision, { quant, signal, onProgress, onNote: (line) => log.info(line) });
}

function tell(models: Models, log: Log): void {
  models.events.on("loading", ({ id, loading }: Entry) => {
    const { phase, bytes, total_bytes, tensors, total_tensors, eta_secs: eta } = loading;
    if (total_bytes === 0 || phase === "ready") return;
    const counted = total_tensors > 0 ? `, ${tensors} of ${total_tensors} tensors` : "";
    const left = eta === null || eta === undefined ? "" : `, ${Math.ceil(eta)} s left`;
    log.progress(`${progressLine(`${id}: ${phase}`, bytes, total_bytes)}${counted}${left}`);
  });
  models.events.on("loaded", ({ id, model }, seconds) => {
    const { contextLength, weightBytes, cacheBytes, scratchBytes, dispatchesPerToken } = model!.info;
    const megabytes = Math.ceil((weightBytes + cacheBytes + scratchBytes) / 2 ** 20);
    const sizes = `${megabytes} MiB, context of ${contextLength} tokens, ${dispatchesPerToken} dispatches a token`;
    for (const line of planTables(id, model!.info)) log.info(line);
    const { spread } = model!.info;
    if (spread) log.info(`${id}: ${spread.why}${spread.layers ? ` (${spread.layers.join(" + ")})` : ""}`);
    log.info(`${id}: loaded in ${seconds.toFixed(1)} s, ${sizes}`);
  });
  models.events.on("failed", ({ id }, error) => {
    if (models.closing) log.info(`${id}: its load was ended`);
    else if (error instanceof EngineError && error.code !== "internal") log.error(`${id}: ${error.message}`);
    else log.error(`${id}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  });
  models.events.on("unloaded", ({ id }) => log.info(`${id}: unloaded`));
}

/** The memory of each device, by its index. */
function watchAll(devices: readonly DeviceReport[]): {
  current(index: number): MemoryFigures;
  stop(): void;
} {
  const all = new Map(devices.map((device) => [device.index, watchMemory(device)]));
  return {
    current: (index) => all.get(index)!.current(),
    stop: () => all.forEach((watch) => watch.stop()),
  };
}

/** Where the memory goes, of each device that has a part of the model. */
function planTables(id: string, { plans, devices }: Pick<ModelInfo, "plans" | "devices">): string[] {
  const nameOf = (rank: number) => (plans.length > 1 ? `${id}, rank ${rank} on device ${devices[rank]}` : id);
  return plans.flatMap((plan, rank) => planLines({ ...plan, model: nameOf(rank) }));
}

function tellHealth(engine: Engine, log: Log): void {
  let since = 0;
  engine.onChange = ({ state, reason }) => {
    if (state === "failed") log.error(`${engine.device.name} is out of service: ${reason}`);
    else if (state === "ready")
      log.info(`${engine.device.name} is back after ${seconds(since)} s, with its models`);
    else {
      since = performance.now();
      log.warn(`${reason}; it is opened anew, and its models are read again`);
    }
  };
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}

/** The one line to look for. */
function announce(models: Models, engine: Engine, url: string, log: Log): void {
  const { completed, failed } = models.activation;
  if (models.closing || completed.length + failed.length === 0) return;
  if (completed.length === 0) log.warn(`no default model could be loaded; still listening on ${url}`);
  else log.info(`ready: ${url}/v1 serves ${completed.join(", ")} on ${engine.device.name}`);
}

async function listen(app: FastifyInstance, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      throw new EngineError(
        "port_in_use",
        `port ${port} on ${host} is taken, perhaps by another neuron; choose one with --port`,
      );
    }
    if (code === "EACCES")
      throw new EngineError("bad_config", `port ${port} on ${host} needs more rights; choose one above 1023`);
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
      throw new EngineError("bad_config", `this host has no address ${host}`);
    throw error;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

async function drained(models: Models, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs;
  const busy = () =>
    models.list().some(({ model }) => model !== undefined && model.load.running + model.load.waiting > 0);
  while (busy() && performance.now() < until) await sleep(20);
}
