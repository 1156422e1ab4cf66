// What is known of the neurons: written by the poller, read by the router, the catalogue and the status page.
// Held in memory and never awaited for; a request reads it as it is.

import type { Discovery, Health, Loading, ModelEntry, ModelHealth } from "../neuron/protocol.ts";

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
}

/** What nobody decides by; to be shown. */
export interface ModelFigures {
  /** Indices of the neuron's devices. */
  devices: readonly number[];
  /** Weights, cache and scratch; null until loaded. */
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
>;
export type Progress = Pick<Loading, "bytes" | "total_bytes"> & { phase: string };

interface Entry {
  view: NeuronView;
  /** Somebody else watches its process: refused connections mean that it is not up yet. */
  supervised: boolean;
  /** By an operator, whatever the neuron says of itself. */
  drained: boolean;
  discovery: Discovery | undefined;
  urls: ReadonlyMap<string, string>;
  uptimeS: number;
}

export class Fleet {
  /** Sorted by name. The objects are live: read them, do not change them. */
  readonly neurons: NeuronView[] = [];
  private readonly entries = new Map<string, Entry>();
  private readonly strikesToFall: number;

  constructor(strikesToFall: number) {
    this.strikesToFall = strikesToFall;
  }

  add(name: string, endpoint: string, options: { supervised?: boolean; kind?: NeuronKind } = {}): void {
    const { supervised = false, kind = "neuron" } = options;
    const view: NeuronView = { name, kind, endpoint, ...unseen() };
    const nothingKnown = { discovery: undefined, urls: new Map(), uptimeS: 0 };
    this.entries.set(name, { view, supervised, drained: false, ...nothingKnown });
    this.neurons.push(view);
    this.neurons.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** Nothing new goes there; what runs there is not touched. */
  remove(name: string): void {
    this.neurons.splice(this.neurons.indexOf(this.entry(name).view), 1);
    this.entries.delete(name);
  }

  /** Takes a neuron out of service, or back into it. */
  drain(name: string, drained: boolean): void {
    const entry = this.entry(name);
    entry.drained = drained;
    entry.view.draining = drained;
  }

  neuron(name: string): NeuronView {
    return this.entry(name).view;
  }

  /** What the next poll need not ask again. */
  known(name: string): Pick<Entry, "discovery" | "urls"> & { endpoint: string } {
    const { discovery, urls, view } = this.entry(name);
    return { discovery, urls, endpoint: view.endpoint };
  }

  succeeded(name: string, report: Report): void {
    const entry = this.entry(name);
    const { view } = entry;
    // A younger process than before: whatever it said of itself may have changed.
    const restarted = report.health.uptime_secs < entry.uptimeS;
    entry.discovery = restarted ? undefined : report.discovery;
    entry.urls = restarted ? new Map() : report.urls;
    entry.uptimeS = report.health.uptime_secs;
    const { hostname, version } = report.discovery;
    const draining = entry.drained || report.health.status !== "ok";
    const seen = { devices: deviceViews(report), models: modelViews(report) };
    Object.assign(view, { ...unseen(), state: "healthy", hostname, version, draining, ...seen });
  }

  failed(name: string, reason: string): void {
    const entry = this.entry(name);
    const { view } = entry;
    view.strikes++;
    view.reason = reason;
    if (view.state === "starting" && entry.supervised) return;
    if (view.strikes < this.strikesToFall) return;
    view.state = "unreachable";
    entry.discovery = undefined;
    entry.urls = new Map();
  }

  /** Its process is known to be gone. */
  down(name: string, reason: string): void {
    Object.assign(this.entry(name).view, { state: "unreachable", reason });
  }

  /** A new process is on its way, maybe at another address. */
  starting(name: string, endpoint: string): void {
    const entry = this.entry(name);
    Object.assign(entry.view, { ...unseen(), endpoint, draining: entry.drained });
    Object.assign(entry, { discovery: undefined, urls: new Map(), uptimeS: 0 });
  }

  /** Counts a request that goes to a model until the returned function is called. */
  claim(name: string, model: string): () => void {
    const find = () => this.entries.get(name)?.view.models.find((m) => m.id === model);
    const now = find();
    if (now) now.ahead++;
    return () => {
      const then = find();
      if (then) then.ahead--;
    };
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`no neuron is called ${name}`);
    return entry;
  }
}

function unseen() {
  return {
    state: "starting" as NeuronState,
    strikes: 0,
    draining: false,
    reason: undefined,
    hostname: undefined,
    version: undefined,
    devices: [],
    models: [],
  };
}

function deviceViews({ discovery, health }: Report): DeviceView[] {
  return discovery.devices.map(({ index, name, kind, vram_total_mb }) => {
    const usedMb = health.devices.find((d) => d.index === index)?.vram_used_mb ?? null;
    return { index, name, kind, totalMb: vram_total_mb, usedMb };
  });
}

function modelViews({ health, models, urls }: Report): ModelView[] {
  return models.map((model) => {
    const load = health.models.find((m) => m.id === model.id);
    const { id, status, capabilities, limit } = model;
    return {
      ...{ id, status, capabilities, limit: limit ?? undefined, url: urls.get(id) },
      ...{ toolCalls: model.tool_call, reasoning: model.reasoning, error: model.error },
      ...{ inFlight: load?.in_flight ?? 0, queueDepth: load?.queue_depth ?? 0, ahead: 0 },
      percent: percentOf(model.loading),
      figures: {
        ...{ devices: model.devices, memoryMb: model.vram_used_mb, phase: model.loading?.phase },
        ...{ prefillRate: load?.tok_s_prefill ?? null, decodeRate: load?.tok_s_decode ?? null },
      },
    };
  });
}

function percentOf(loading: Progress | undefined): number | undefined {
  if (!loading || loading.total_bytes <= 0) return undefined;
  return Math.min(100, Math.floor((100 * loading.bytes) / loading.total_bytes));
}
