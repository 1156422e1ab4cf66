// What is known of the neurons: written by the poller, read by the router, placement, the catalogue and the status page.
// Held in memory and never awaited for; a request reads it as it is.

import type { Discovery } from "../../neuron/protocol.ts";
import type { ModelLoad, ModelView, NeuronKind, NeuronView, Report, Use } from "./view.ts";
import { deviceViews, modelViews, unseen, unused } from "./view.ts";

export type * from "./view.ts";

interface Entry {
  view: NeuronView;
  /** Somebody else watches its process: refused connections mean that it is not up yet. */
  supervised: boolean;
  /** By an operator, whatever the neuron says of itself. */
  drained: boolean;
  discovery: Discovery | undefined;
  urls: ReadonlyMap<string, string>;
  /** As last polled; undefined before the first poll of its process. */
  uptimeS: number | undefined;
  uses: Map<string, Use>;
  /** When models last came or went. */
  changedAt: number;
  /** Loads and unloads that this gateway has under way there. */
  works: number;
}

/** A model as it was when last seen loaded anywhere. */
export interface Remembered {
  neurons: ReadonlySet<string>;
  memoryMb: number | undefined;
  limit: ModelView["limit"];
}

/** Drivers and operating systems are slow to tell of memory that was taken or given back. */
const restMs = 10_000;

export class Fleet {
  /** Sorted by name. The objects are live: read them, do not change them. */
  readonly neurons: NeuronView[] = [];
  /** Monotonic, in ms. */
  readonly now: () => number;
  private readonly entries = new Map<string, Entry>();
  /** Failed polls in a row that make a neuron unreachable. */
  strikesToFall: number;
  private readonly remembered = new Map<string, Remembered & { neurons: Set<string> }>();
  private readonly listeners = new Set<() => void>();

  constructor(strikesToFall: number, now = () => performance.now()) {
    this.strikesToFall = strikesToFall;
    this.now = now;
  }

  add(name: string, endpoint: string, options: { supervised?: boolean; kind?: NeuronKind } = {}): void {
    const { supervised = false, kind = "neuron" } = options;
    const view: NeuronView = { name, kind, endpoint, ...unseen() };
    const nothingKnown = { discovery: undefined, urls: new Map(), uptimeS: undefined };
    const calm = { uses: new Map<string, Use>(), changedAt: -Infinity, works: 0 };
    this.entries.set(name, { view, supervised, drained: false, ...nothingKnown, ...calm });
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
    this.tell();
  }

  isDrained(name: string): boolean {
    return this.entry(name).drained;
  }

  /** Takes a neuron out of service, or back into it. */
  drain(name: string, drained: boolean): void {
    const entry = this.entry(name);
    entry.drained = drained;
    entry.view.draining = drained;
    this.tell();
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
    const restarted = report.health.uptime_secs < (entry.uptimeS ?? 0);
    const first = restarted || entry.uptimeS === undefined;
    if (restarted) forgetUse(entry);
    entry.discovery = restarted ? undefined : report.discovery;
    entry.urls = restarted ? new Map() : report.urls;
    entry.uptimeS = report.health.uptime_secs;
    const { hostname, version } = report.discovery;
    const draining = entry.drained || report.health.status !== "ok";
    const models = this.seeModels(entry, report, first);
    const devices = deviceViews(report, this.now() - entry.changedAt >= restMs ? undefined : view.devices);
    const seen = { devices, models, cycles: view.cycles };
    Object.assign(view, { ...unseen(), state: "healthy", hostname, version, draining, ...seen });
    this.tell();
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
    this.tell();
  }

  /** Its process is known to be gone. */
  down(name: string, reason: string): void {
    Object.assign(this.entry(name).view, { state: "unreachable", reason });
    this.tell();
  }

  /** A new process is on its way, maybe at another address. */
  starting(name: string, endpoint: string): void {
    const entry = this.entry(name);
    Object.assign(entry.view, { ...unseen(), endpoint, draining: entry.drained });
    Object.assign(entry, { discovery: undefined, urls: new Map(), uptimeS: undefined });
    forgetUse(entry);
    this.tell();
  }

  /**
   * Resolves when `condition` holds, looked at whenever something changes, or when the time is up; rejects with the
   * signal's reason.
   */
  until(condition: () => boolean, signal: AbortSignal, withinMs?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        this.listeners.delete(look);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason as Error);
      };
      const finish = () => {
        leave();
        resolve();
      };
      const look = () => {
        if (condition()) finish();
      };
      const timer = withinMs === undefined ? undefined : setTimeout(finish, withinMs);
      this.listeners.add(look);
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      else look();
    });
  }

  /** What is known of a model that was loaded somewhere since this gateway began. */
  recall(model: string): Remembered | undefined {
    return this.remembered.get(model);
  }

  /** A neuron has said that it does not know the model any more. */
  forget(name: string, model: string): void {
    this.remembered.get(model)?.neurons.delete(name);
  }

  /** Every model that was loaded somewhere and can be loaded there again. */
  rememberedIds(): string[] {
    return [...this.remembered].filter(([, { neurons }]) => neurons.size > 0).map(([id]) => id);
  }

  /** A model takes no new requests until the returned function is called. */
  leave(name: string, model: string, why: NonNullable<Use["leaving"]>): () => void {
    const { uses } = this.entry(name);
    const use = uses.get(model);
    if (use) use.leaving = why;
    this.tell();
    return () => {
      const then = uses.get(model);
      if (then?.leaving === why) then.leaving = undefined;
      this.tell();
    };
  }

  /** Models come or go there until the returned function is called: the neuron is watched more closely. */
  work(name: string): () => void {
    const entry = this.entry(name);
    entry.works++;
    return () => void entry.works--;
  }

  /** Something changes there, or is about to. */
  isWorkedOn(name: string): boolean {
    const { works, uses } = this.entry(name);
    return works > 0 || [...uses.values()].some(({ leaving }) => leaving !== undefined);
  }

  /** Its device has been started anew. */
  renewed(name: string): void {
    const entry = this.entries.get(name);
    if (entry) entry.view.cycles = 0;
  }

  /** Counts a request that goes to a model until the returned function is called. */
  claim(name: string, model: string): () => void {
    const find = () => this.entries.get(name)?.view.models.find((m) => m.id === model);
    const now = find();
    const use = now?.use;
    if (now) now.ahead++;
    if (use) {
      use.running++;
      use.served = true;
    }
    return () => {
      const then = find();
      if (then) then.ahead--;
      if (!use) return;
      use.running--;
      use.usedAt = this.now();
      this.tell();
    };
  }

  /** The models of a report, each with what was known of it before; counts those that have gone. */
  private seeModels(entry: Entry, report: Report, first: boolean): ModelView[] {
    const { view, uses } = entry;
    const gone = [...uses.keys()].filter((id) => !report.models.some((model) => model.id === id));
    for (const id of gone) {
      if (uses.get(id)!.loadedAt !== Infinity) view.cycles++;
      uses.delete(id);
    }
    const models = modelViews(report, (id) => {
      const use = uses.get(id) ?? unused(this.now());
      uses.set(id, use);
      return use;
    });
    let moving = gone.length > 0;
    for (const model of models) if (this.follow(view.name, model, report.health.models, first)) moving = true;
    if (moving) entry.changedAt = first ? -Infinity : this.now();
    return models;
  }

  /** Brings what is known of a model's use up to date; true when the model comes or goes. */
  private follow(name: string, model: ModelView, loads: readonly ModelLoad[], first: boolean): boolean {
    const { id, status, use, inFlight, queueDepth } = model;
    const now = this.now();
    if (status === "loading" || status === "failed")
      Object.assign(use, { loadedAt: Infinity, served: false });
    if (status !== "loaded") return status !== "failed";
    const came = use.loadedAt === Infinity;
    if (came) Object.assign(use, { loadedAt: first ? -Infinity : now, usedAt: now });
    const idleS = loads.find((load) => load.id === id)?.idle_secs;
    if (inFlight + queueDepth > 0) Object.assign(use, { served: true, usedAt: now });
    else if (idleS !== undefined && use.running === 0) use.usedAt = Math.max(use.usedAt, now - idleS * 1000);
    this.remember(name, model);
    return came;
  }

  private remember(name: string, { id, figures, limit }: ModelView): void {
    const before = this.remembered.get(id);
    const neurons = (before?.neurons ?? new Set<string>()).add(name);
    const memoryMb = figures.memoryMb ?? before?.memoryMb;
    this.remembered.set(id, { neurons, memoryMb, limit: limit ?? before?.limit });
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`no neuron is called ${name}`);
    return entry;
  }
}

/** Another process: what this one's models were used for says nothing of the next one's. */
function forgetUse(entry: Entry): void {
  entry.uses.clear();
  entry.view.cycles = 0;
}
