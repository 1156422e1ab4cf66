// The models of this neuron and their lives: waiting → downloading → reading → loaded → unloading, or failed; loaded
// ones recover with their device. One load at a time on the device; callers who want the same id share one load.

import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engine/errors.ts";
import type { Engine, LoadOptions, LoadProgress, Model } from "../engine/serve/types.ts";
import type { Activation, Loading, ModelStatus } from "./protocol.ts";
import { parseReference, sourceOf, withQuant } from "./reference.ts";
import type { HubReference, Reference } from "./reference.ts";

export interface Wanted {
  /** The name in requests; without a source also where to find the model. */
  id: string;
  /** As reference.ts reads it. */
  source?: string;
  contextLength?: number;
  /** LoadOptions.quant, where neither id nor source says it. */
  quant?: string;
  /** LoadOptions; what is not said is as it was when the model was here before. */
  devices?: readonly number[];
  tensorParallel?: number;
  pipelineParallel?: number;
  weights?: readonly number[];
}

interface Known {
  id: string;
  reference: Reference;
  contextLength: number | undefined;
  spread: ModelSpread;
}

type ModelSpread = Pick<LoadOptions, "devices" | "tensorParallel" | "pipelineParallel" | "weights">;

/** Makes the files of a hub name be here; says what their floats are still to be quantised to. */
export type Fetch = (
  reference: HubReference,
  onProgress: (bytes: number, totalBytes: number) => void,
  signal: AbortSignal,
) => Promise<{ path: string; quant: string | undefined }>;

export interface Entry {
  readonly id: string;
  /** sourceOf: tells two models apart that would share an id. */
  readonly source: string;
  status: ModelStatus;
  loading: Loading;
  model: Model | undefined;
  error: string | undefined;
  /** Unix seconds; 0 until loaded. */
  loadedAt: number;
  /** Moving averages, tokens per second. */
  speed: { prefill: number | null; decode: number | null };
  /** performance.now() at the end of its last request, or of its load. */
  usedAt: number;
}

interface Job {
  entry: Entry;
  done: Promise<Entry>;
  cancel: AbortController;
}

interface Happenings {
  /** A load has come further. */
  loading: [Entry];
  loaded: [Entry, seconds: number];
  failed: [Entry, error: unknown];
  unloaded: [Entry];
}

export class Models {
  readonly activation: Activation = {
    state: "ready",
    pending: [],
    in_progress: null,
    completed: [],
    failed: [],
  };
  readonly events = new EventEmitter<Happenings>();
  readonly #engine: Engine;
  readonly #fetch: Fetch;
  readonly #contextLength: number | undefined;
  readonly #quant: string | undefined;
  readonly #entries = new Map<string, Entry>();
  readonly #known = new Map<string, Known>();
  readonly #jobs = new Map<string, Job>();
  readonly #unloads = new Map<string, Promise<void>>();
  #deviceFree: Promise<unknown> = Promise.resolve();
  #closing = false;

  /** `contextLength`, `quant`: for models of which nobody says another. */
  constructor(engine: Engine, fetch: Fetch, contextLength?: number, quant?: string) {
    this.#engine = engine;
    this.#fetch = fetch;
    this.#contextLength = contextLength;
    this.#quant = quant;
  }

  get closing(): boolean {
    return this.#closing;
  }

  list(): Entry[] {
    const all = [...this.#entries.values()];
    for (const entry of all) followDevice(entry);
    return all;
  }

  /**
   * The loaded model of that id, which may be recovering and then refuses by itself. Throws model_not_found, which names
   * those that are loaded, model_loading, device_lost where it was lost for good, or shutting_down.
   */
  get(id: string, param = "model"): Entry & { model: Model } {
    if (this.#closing) throw shuttingDown();
    const entry = this.#entries.get(id);
    if (entry) followDevice(entry);
    if (entry?.model && (entry.status === "loaded" || entry.status === "recovering"))
      return entry as Entry & { model: Model };
    if (entry?.status === "loading") {
      throw new EngineError("model_loading", `model "${id}" is still ${phaseOf(entry)}; ask again soon`, {
        param,
      });
    }
    if (entry?.status === "failed" && entry.loadedAt > 0) throw outOfService(entry, param);
    const state = entry ? `is ${entry.status}${entry.error ? ` (${entry.error})` : ""}` : "is not loaded";
    const loaded = this.list().filter(({ status }) => status === "loaded");
    const others = loaded.length > 0 ? `loaded: ${loaded.map((e) => e.id).join(", ")}` : "no model is loaded";
    throw new EngineError("model_not_found", `model "${id}" ${state}; ${others}`, { param });
  }

  /** Resolves when the model takes requests: at once if it is loaded, with the running load if there is one. */
  async load(asked: Wanted): Promise<Entry> {
    if (this.#closing) throw shuttingDown();
    // Who names a model that was here before need not say again where it came from.
    const before = asked.source === undefined ? this.#known.get(asked.id) : undefined;
    const named = before?.reference ?? parseReference(asked.source ?? asked.id);
    const reference = withQuant(named, asked.quant ?? (named.quant === undefined ? this.#quant : undefined));
    const id = before || asked.source !== undefined ? asked.id : reference.id;
    await this.#unloads.get(id)?.catch(() => undefined);
    await this.#engine.settled();
    const contextLength = asked.contextLength ?? before?.contextLength ?? this.#contextLength;
    const spread = spreadOf(asked) ?? before?.spread ?? {};
    const entry = this.#entries.get(id);
    if (entry) followDevice(entry);
    if (!entry || entry.status === "failed") return this.#start({ id, reference, contextLength, spread });
    refuseAnother(entry, reference, asked.contextLength);
    return this.#jobs.get(id)?.done ?? entry;
  }

  #start(known: Known): Promise<Entry> {
    const { id, reference, contextLength, spread } = known;
    this.#known.set(id, known);
    const loading: Loading = { phase: "waiting", bytes: 0, total_bytes: 0, tensors: 0, total_tensors: 0 };
    const speed = { prefill: null, decode: null };
    const source = sourceOf(reference);
    const empty = { model: undefined, error: undefined, loadedAt: 0, usedAt: 0 };
    const entry: Entry = { id, source, status: "loading", loading, speed, ...empty };
    const cancel = new AbortController();
    this.#entries.set(id, entry);
    const done = this.#run(
      entry,
      reference,
      { ...spread, ...(contextLength === undefined ? {} : { contextLength }) },
      cancel.signal,
    );
    this.#jobs.set(id, { entry, done, cancel });
    return done;
  }

  async #run(entry: Entry, reference: Reference, options: LoadOptions, signal: AbortSignal): Promise<Entry> {
    const started = performance.now();
    try {
      const { path, quant } = await this.#files(entry, reference, signal);
      const asked = quant === undefined ? options : { ...options, quant };
      entry.model = await this.#onDevice(() => this.#read(entry, path, asked, signal));
      entry.status = "loaded";
      entry.loadedAt = Math.floor(Date.now() / 1000);
      entry.usedAt = performance.now();
      this.events.emit("loaded", entry, (performance.now() - started) / 1000);
      return entry;
    } catch (thrown) {
      const error: unknown = signal.aborted ? signal.reason : thrown;
      fail(entry, error);
      this.events.emit("failed", entry, error);
      throw error;
    } finally {
      this.#jobs.delete(entry.id);
    }
  }

  async #files(entry: Entry, reference: Reference, signal: AbortSignal): ReturnType<Fetch> {
    if (reference.kind === "local") return reference;
    const eta = startEta();
    const report = (bytes: number, totalBytes: number) => {
      const counted = { bytes, total_bytes: totalBytes, eta_secs: eta(bytes, totalBytes) };
      entry.loading = { ...entry.loading, phase: "downloading", ...counted };
      this.events.emit("loading", entry);
    };
    return this.#fetch(reference, report, signal);
  }

  async #read(entry: Entry, path: string, options: LoadOptions, signal: AbortSignal): Promise<Model> {
    signal.throwIfAborted();
    const eta = startEta();
    const onProgress = ({ phase, bytes, totalBytes, tensors, totalTensors }: LoadProgress) => {
      const counted = { bytes, total_bytes: totalBytes, tensors, total_tensors: totalTensors };
      entry.loading = { phase, ...counted, eta_secs: eta(bytes, totalBytes) };
      this.events.emit("loading", entry);
    };
    return this.#engine.load(path, options, onProgress, signal);
  }

  /** Runs `work` when all earlier work on the device has ended, however it ended. */
  #onDevice<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#deviceFree.then(work);
    this.#deviceFree = turn.catch(() => undefined);
    return turn;
  }

  /**
   * `waitMs`: how long requests may go on, while new ones are refused. Throws model_not_found, or model_busy while
   * requests run (after the wait) or the load does, unless `force` ends them.
   */
  async unload(id: string, { force = false, waitMs = 0 } = {}): Promise<void> {
    const entry = this.#entries.get(id);
    if (!entry) this.get(id, "model_id");
    const job = this.#jobs.get(id);
    if (job) {
      if (!force) throw new EngineError("model_busy", `model "${id}" is still loading; force ends that`);
      job.cancel.abort(new EngineError("cancelled", `the load of "${id}" was cancelled`));
      await job.done.catch(() => undefined);
    }
    let running = this.#unloads.get(id);
    if (!running) {
      running = this.#end(entry!, force, waitMs).finally(() => this.#unloads.delete(id));
      this.#unloads.set(id, running);
    }
    await running;
  }

  /** Opens the device anew, with its models. Throws model_busy while requests run or a load does, unless `force`. */
  async restart(force: boolean): Promise<void> {
    if (this.#closing) throw shuttingDown();
    const loading = [...this.#jobs.keys()];
    const busy = this.list().filter(
      ({ model }) => model !== undefined && model.load.running + model.load.waiting > 0,
    );
    if (loading.length > 0)
      throw new EngineError("model_busy", `model "${loading[0]}" is still loading; wait`);
    if (busy.length > 0 && !force)
      throw new EngineError("model_busy", `model "${busy[0]!.id}" has requests; wait, or restart with force`);
    await this.#onDevice(() => this.#engine.restart());
  }

  async #end(entry: Entry, force: boolean, waitMs: number): Promise<void> {
    if (entry.model) {
      entry.status = "unloading"; // nothing new comes in
      try {
        await this.#emptied(entry, force, waitMs);
        await entry.model.unload({ force });
      } catch (error) {
        // Still busy: the model goes on.
        if (error instanceof EngineError && error.code === "model_busy") entry.status = "loaded";
        else fail(entry, error);
        throw error;
      }
    }
    this.#entries.delete(entry.id);
    this.events.emit("unloaded", entry);
  }

  /** Resolves when no request is there, or when those that are there may be ended. Throws model_busy. */
  async #emptied({ id, model }: Entry, force: boolean, waitMs: number): Promise<void> {
    const busy = () => model!.load.running + model!.load.waiting;
    const until = performance.now() + waitMs;
    while (busy() > 0 && performance.now() < until && !this.#closing) await sleep(lookAgainMs);
    if (busy() === 0 || force) return;
    const waited = waitMs > 0 ? ` after ${waitMs / 1000} s` : "";
    throw new EngineError(
      "model_busy",
      `model "${id}" has ${busy()} requests${waited}; wait, or unload with force`,
    );
  }

  /** Loads the default models one after another; each ends in `completed` or `failed` of the activation. */
  async activate(wanted: readonly Wanted[]): Promise<void> {
    const { activation } = this;
    activation.pending = wanted.map((model) => model.id);
    for (const model of wanted) {
      activation.state = "pre_warming";
      const name = activation.pending.shift()!;
      activation.in_progress = name;
      try {
        activation.completed.push((await this.load(model)).id);
      } catch (error) {
        activation.failed.push({
          model_id: name,
          error: error instanceof Error ? error.message : String(error),
        });
      }
      activation.in_progress = null;
    }
    activation.state = "ready";
  }

  /** From now on nothing starts; downloads stop. The engine's own close ends the models. */
  close(): void {
    this.#closing = true;
    for (const job of this.#jobs.values()) job.cancel.abort(shuttingDown());
  }
}

/** How often somebody looks whether a model is idle, ms. */
const lookAgainMs = 20;

/** Undefined where nothing is said of it. */
function spreadOf({ devices, tensorParallel, pipelineParallel, weights }: Wanted): ModelSpread | undefined {
  if (!devices && tensorParallel === undefined && pipelineParallel === undefined && !weights)
    return undefined;
  return {
    ...(devices && { devices }),
    ...(tensorParallel !== undefined && { tensorParallel }),
    ...(pipelineParallel !== undefined && { pipelineParallel }),
    ...(weights && { weights }),
  };
}

/** A loaded model is what its device is. */
function followDevice(entry: Entry): void {
  const { model, status } = entry;
  if (!model || (status !== "loaded" && status !== "recovering")) return;
  if (model.state === "failed") {
    fail(entry, new Error(model.reason));
    return;
  }
  entry.status = model.state === "ready" ? "loaded" : "recovering";
  entry.error = model.reason;
}

/** It takes no more requests; a load begins anew. */
function fail(entry: Entry, error: unknown): void {
  entry.status = "failed";
  entry.model = undefined;
  entry.error = error instanceof Error ? error.message : String(error);
}

/** Seconds that the rest will take at the average pace so far; null before anything can be said. */
function startEta(): (bytes: number, totalBytes: number) => number | null {
  let begun: { at: number; bytes: number } | undefined; // what was there before costs no time
  return (bytes, totalBytes) => {
    begun ??= { at: performance.now(), bytes };
    const seconds = (performance.now() - begun.at) / 1000;
    const done = bytes - begun.bytes;
    if (seconds < 0.5 || done <= 0) return null;
    return Math.round((10 * seconds * (totalBytes - bytes)) / done) / 10;
  };
}

/** It served, and will again when somebody loads it: not to be taken for a name that nobody knows. */
function outOfService({ id, error }: Entry, param: string): EngineError {
  const text = `model "${id}" is out of service until it is loaded again: ${error}`;
  return new EngineError("device_lost", text, { param, retryAfter: 15 });
}

/** One id is one model: another source or another context under it is a mistake to report, not to guess about. */
function refuseAnother(entry: Entry, reference: Reference, contextLength: number | undefined): void {
  const source = sourceOf(reference);
  if (entry.source !== source) {
    throw conflict(`model "${entry.id}" is ${entry.status} from ${entry.source}, not ${source}`);
  }
  const has = entry.model?.info.contextLength;
  if (has !== undefined && contextLength !== undefined && contextLength !== has) {
    throw conflict(`model "${entry.id}" is loaded with a context of ${has} tokens; unload it first`);
  }
}

/** For people: waiting, downloading (43%), …: how far it is, where the phase is one of bytes. */
function phaseOf({ loading: { phase, bytes, total_bytes } }: Entry): string {
  const counted = total_bytes > 0 && (phase === "downloading" || phase === "reading");
  if (counted) return `${phase} (${Math.floor((100 * bytes) / total_bytes)}%)`;
  return phase === "warming" ? "warming up" : phase;
}

function conflict(message: string): EngineError {
  return new EngineError("model_busy", message, { param: "model_id" });
}

export function shuttingDown(): EngineError {
  return new EngineError("shutting_down", "this neuron is shutting down");
}
