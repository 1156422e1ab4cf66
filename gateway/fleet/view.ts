// What is known of one neuron, as everybody reads it, and how a poll's answers become that. Pure.

import type { Discovery, Health, Loading, ModelEntry, ModelHealth } from "../../neuron/protocol.ts";

/** "starting": not reached yet, and not given up on. */
export type NeuronState = "starting" | "healthy" | "unreachable";

/** "openai": any server of OpenAI's dialect, which is asked and counted but never told to load or unload. */
export type NeuronKind = "neuron" | "openai";

export interface ModelView {
  id: string;
  /** As the neuron says it; only "loaded" takes requests, and a word that we do not know is not that one. */
  status: string;
  /** Where its /v1 answers; undefined until the neuron has said so. */
  url: string | undefined;
  capabilities: readonly string[];
  /** Tokens; undefined until loaded. */
  limit: { context: number; output: number } | undefined;
  toolCalls: boolean;
  reasoning: boolean;
  /** As last polled. */
  inFlight: number;
  queueDepth: number;
  /** What this gateway has sent less what has ended since that poll. */
  ahead: number;
  /** 0…100 while it is loading and the neuron knows. */
  percent: number | undefined;
  error: string | undefined;
  figures: ModelFigures;
  /** Live: not as last polled. */
  use: Use;
}

/** What this gateway itself knows of a model on a neuron, from one poll to the next. Times as Fleet.now() counts. */
export interface Use {
  /** Requests of this gateway that are with it. */
  running: number;
  /** The last request of anybody's, as far as is known; where there was none, the first sight of the model. */
  usedAt: number;
  /** When it was first seen loaded; -Infinity where it was there before this gateway. */
  loadedAt: number;
  /** Somebody has asked it since then. */
  served: boolean;
  /** It takes no new requests: it is about to be unloaded, or its device to be started anew. */
  leaving: "eviction" | "restart" | undefined;
}

/** What nobody decides by; to be shown. */
export interface ModelFigures {
  /** Indices of the neuron's devices. */
  devices: readonly number[];
  /** What it was promised of its devices' memory, or what it lies in where nothing was; null until loaded. */
  memoryMb: number | null;
  /** Tokens a second, averaged over past requests; null before the first. */
  prefillRate: number | null;
  decodeRate: number | null;
  /** How far a load has come. */
  phase: string | undefined;
}

export interface DeviceView {
  index: number;
  name: string;
  kind: string;
  totalMb: number | null;
  usedMb: number | null;
  /** What is not our models': other programs, the driver. Measured while no model comes or goes; null: unknown. */
  othersMb: number | null;
}

export interface NeuronView {
  readonly name: string;
  readonly kind: NeuronKind;
  endpoint: string;
  state: NeuronState;
  /** Failed polls since the last good one. */
  strikes: number;
  /** The neuron is going down, or an operator drains it: it takes nothing new. */
  draining: boolean;
  /** Why the last poll failed; for the operator, never for a client. */
  reason: string | undefined;
  hostname: string | undefined;
  version: string | undefined;
  devices: readonly DeviceView[];
  models: readonly ModelView[];
  /** Models that were unloaded since its device was last started. */
  cycles: number;
}

/** One good poll. */
export interface Report {
  discovery: Discovery;
  health: Pick<Health, "uptime_secs" | "devices"> & { status: string; models: readonly ModelLoad[] };
  models: readonly SeenModel[];
  /** By model id, for those that are loaded. */
  urls: ReadonlyMap<string, string>;
}

/** A neuron's words as we take them: a status may be one that only a newer neuron knows. */
export interface SeenModel extends Pick<
  ModelEntry,
  "id" | "capabilities" | "limit" | "tool_call" | "reasoning" | "devices" | "vram_used_mb"
> {
  status: string;
  loading?: Progress | undefined;
  error?: string | undefined;
}
export type ModelLoad = Pick<
  ModelHealth,
  "id" | "in_flight" | "queue_depth" | "tok_s_prefill" | "tok_s_decode"
> & { idle_secs?: number; memory?: { total_bytes: number } };
export type Progress = Pick<Loading, "bytes" | "total_bytes"> & { phase: string };

/** Of a neuron that has not been reached. */
export function unseen() {
  return {
    state: "starting" as NeuronState,
    strikes: 0,
    draining: false,
    reason: undefined,
    hostname: undefined,
    version: undefined,
    devices: [],
    models: [],
    cycles: 0,
  };
}

/** Of a model that is not loaded yet. */
export function unused(now: number): Use {
  return { running: 0, usedAt: now, loadedAt: Infinity, served: false, leaving: undefined };
}

/** `before`: whose measure of what is not ours still stands. */
export function deviceViews(
  { discovery, health, models }: Report,
  before?: readonly DeviceView[],
): DeviceView[] {
  return discovery.devices.map(({ index, name, kind, vram_total_mb }) => {
    const usedMb = health.devices.find((d) => d.index === index)?.vram_used_mb ?? null;
    const ours = models
      .filter(({ devices }) => devices.includes(index))
      .reduce((sum, model) => sum + (memoryOf(model, health.models) ?? 0) / model.devices.length, 0);
    const measured = usedMb === null ? null : Math.max(0, usedMb - ours);
    const othersMb = before?.find((device) => device.index === index)?.othersMb ?? measured;
    return { index, name, kind, totalMb: vram_total_mb, usedMb, othersMb };
  });
}

export function modelViews({ health, models, urls }: Report, useOf: (id: string) => Use): ModelView[] {
  return models.map((model) => {
    const load = health.models.find((m) => m.id === model.id);
    const { id, status, capabilities, limit } = model;
    return {
      ...{ id, status, capabilities, limit: limit ?? undefined, url: urls.get(id), use: useOf(id) },
      ...{ toolCalls: model.tool_call, reasoning: model.reasoning, error: model.error },
      ...{ inFlight: load?.in_flight ?? 0, queueDepth: load?.queue_depth ?? 0, ahead: 0 },
      percent: percentOf(model.loading),
      figures: {
        ...{ devices: model.devices, memoryMb: memoryOf(model, health.models), phase: model.loading?.phase },
        ...{ prefillRate: load?.tok_s_prefill ?? null, decodeRate: load?.tok_s_decode ?? null },
      },
    };
  });
}

/** In MiB; null where nobody knows. */
function memoryOf({ id, vram_used_mb }: SeenModel, loads: readonly ModelLoad[]): number | null {
  const promised = loads.find((load) => load.id === id)?.memory?.total_bytes;
  return promised === undefined ? vram_used_mb : Math.ceil(promised / 2 ** 20);
}

function percentOf(loading: Progress | undefined): number | undefined {
  if (!loading || loading.total_bytes <= 0) return undefined;
  return Math.min(100, Math.floor((100 * loading.bytes) / loading.total_bytes));
}
