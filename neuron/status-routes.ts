// Routes that tell: all of them answer from what the main thread has at hand, however busy the device is.

import { hostname, release, type as osType } from "node:os";
import type { FastifyInstance } from "fastify";
import { blockTypes } from "../engine/formats/locate.ts";
import type { DeviceReport, Engine, ModelSpread } from "../engine/serve/types.ts";
import { distinct, type MemoryFigures } from "./memory.ts";
import type { Metrics } from "./metrics.ts";
import type { Entry, Models } from "./models.ts";
import { neuronApi } from "./openapi.ts";
import { modalitiesOf } from "./protocol.ts";
import type { Device, DeviceHealth, Discovery, Health, ModelEntry, ModelHealth } from "./protocol.ts";
import { version, versionReport } from "./version.ts";

export interface StatusDeps {
  engine: Engine;
  models: Models;
  metrics: Metrics;
  memory: (index: number) => MemoryFigures;
}

const harness = "webgpu";
const quants = blockTypes.map((type) => type.toLowerCase());

export function statusRoutes(app: FastifyInstance, { engine, models, metrics, memory }: StatusDeps): void {
  const started = performance.now();

  app.get("/", () => ({
    name: "neuron",
    version,
    about: "LLM engine on WebGPU with an OpenAI-compatible API",
    models: models
      .list()
      .filter((entry) => entry.status === "loaded")
      .map((entry) => entry.id),
    routes: app.routeList,
  }));

  app.get("/health", (): Health => ({
    status: models.closing ? "shutting_down" : "ok",
    uptime_secs: Math.round((performance.now() - started) / 10) / 100,
    devices: distinct(engine.devices).map((device) =>
      deviceHealth(device, engine.health, memory(device.index)),
    ),
    activation: models.activation,
    models: models.list().map(modelHealth),
  }));

  app.get("/discovery", (): Discovery => ({
    hostname: hostname(),
    os: osType(),
    kernel: release(),
    version,
    devices: distinct(engine.devices).map((device) =>
      deviceOf(device, engine.health.state, memory(device.index)),
    ),
    harnesses: [harness],
    formats: ["safetensors", "gguf"],
    quants,
  }));

  app.get("/models", (): ModelEntry[] =>
    models.list().map((entry) => modelEntry(entry, engine.device.index)),
  );
  app.get("/version", () => versionReport());
  let api: object | undefined;
  app.get("/openapi.json", () => (api ??= neuronApi()));
  app.get("/metrics", async (_request, reply) => {
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
}

function deviceOf(device: DeviceReport, state: Engine["health"]["state"], figures: MemoryFigures): Device {
  const { index, name, vendor, driver, kind, backend, features } = device;
  const known = { index, name, vendor, driver, kind, backend, features };
  return { ...known, vram_total_mb: figures.totalMb, state };
}

function deviceHealth(device: DeviceReport, health: Engine["health"], figures: MemoryFigures): DeviceHealth {
  return {
    index: device.index,
    name: device.name,
    vram_total_mb: figures.totalMb,
    vram_used_mb: figures.usedMb,
    vram_free_mb: figures.freeMb,
    state: health.state,
    ...(health.reason === undefined ? {} : { error: health.reason }),
    losses: health.losses,
  };
}

function modelHealth(entry: Entry): ModelHealth {
  return {
    id: entry.id,
    status: entry.status,
    ...formOf(entry),
    in_flight: entry.model?.load.running ?? 0,
    queue_depth: entry.model?.load.waiting ?? 0,
    tok_s_prefill: entry.speed.prefill,
    tok_s_decode: entry.speed.decode,
    ...memoryOf(entry),
    ...idleness(entry),
    ...progress(entry),
  };
}

function modelEntry(entry: Entry, device: number): ModelEntry {
  const info = entry.model?.info;
  return {
    id: entry.id,
    harness,
    status: entry.status,
    ...formOf(entry),
    devices: info ? [...new Set(info.devices)] : [device],
    vram_used_mb: info ? Math.ceil((info.weightBytes + info.cacheBytes + info.scratchBytes) / 2 ** 20) : null,
    capabilities: [...(info?.capabilities ?? [])],
    ...(info ? { modalities: modalitiesOf(info.capabilities) } : {}),
    limit: info ? { context: info.contextLength, output: outputLimit(info.contextLength) } : null,
    tool_call: info?.toolCalls ?? false,
    reasoning: info?.reasoning ?? false,
    ...progress(entry),
  };
}

function idleness({ model, usedAt }: Entry): Pick<ModelHealth, "idle_secs"> {
  if (!model) return {};
  const busy = model.load.running + model.load.waiting > 0;
  return { idle_secs: busy ? 0 : Math.floor((performance.now() - usedAt) / 100) / 10 };
}

function formOf({ model }: Entry): Pick<ModelHealth, "format" | "quant"> {
  return model ? { format: model.info.format, quant: model.info.quant } : {};
}

function spreadOf({
  by,
  why,
  layers,
}: ModelSpread): NonNullable<NonNullable<ModelHealth["memory"]>["spread"]> {
  return { by, why, ...(layers && { layers: [...layers] }) };
}

function memoryOf({ model }: Entry): Pick<ModelHealth, "memory"> {
  if (!model) return {};
  const { plans, devices, spread } = model.info;
  const budget_bytes = plans.map(({ budget }) => budget?.bytes ?? null);
  const parts = new Map<string, number>();
  for (const { what, bytes } of plans.flatMap((plan) => plan.parts))
    parts.set(what, (parts.get(what) ?? 0) + bytes);
  const each = plans.map(({ totalBytes }, rank) => ({
    ...{ index: devices[rank]!, total_bytes: totalBytes, budget_bytes: budget_bytes[rank]! },
  }));
  const memory = {
    total_bytes: plans.reduce((sum, { totalBytes }) => sum + totalBytes, 0),
    budget_bytes: budget_bytes.includes(null) ? null : budget_bytes.reduce((sum: number, b) => sum + b!, 0),
    parts: [...parts].map(([what, bytes]) => ({ what, bytes })),
    ...(plans.length > 1 && { devices: each }),
    ...(spread && { spread: spreadOf(spread) }),
  };
  return { memory };
}

/** Agents plan with context − output for the prompt: an output as large as the context would leave them nothing. */
export function outputLimit(context: number): number {
  return Math.max(1, Math.min(8192, Math.floor(context / 2)));
}

function progress({ status, loading, error }: Entry): Pick<ModelHealth, "loading" | "error"> {
  return {
    ...(status === "loading" ? { loading } : {}),
    ...((status === "failed" || status === "recovering") && error !== undefined ? { error } : {}),
  };
}
