// A device, or several, as the rest of the process sees them: the threads that own them, whichever life they are in, and
// their models. When a device is lost, or its thread crashes or hangs, what ran fails, new threads are started, and the
// models are read again; who asks meanwhile is told when to come back.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../errors.ts";
import type { GpuOptions } from "../gpu/adapter.ts";
import type { DeviceReport } from "../gpu/report.ts";
import type { TuningOptions } from "../gpu/tuning.ts";
import type { Wire } from "../parallel/allReduce.ts";
import { defaultImageLimits, type ImageLimits } from "../image/index.ts";
import { faultsOfLife, parseFaults, type Fault } from "./faults.ts";
import { DeviceGroup, type GroupOptions } from "./group.ts";
import { LoadedModel, type ModelOptions } from "./model.ts";
import { Resident } from "./resident.ts";
import { defaultRestarts, Restarts, type RestartLimits } from "./restarts.ts";
import { checkSpread } from "./spread.ts";
import { loadText } from "./text.ts";
import type { Spawn } from "./thread.ts";
import type { DeviceHealth, Engine, LoadOptions, LoadProgress, Model } from "./types.ts";

export interface EngineOptions extends GpuOptions, TuningOptions {
  /** In place of `device`: several, over which models may be spread; one named twice is two, for trying that out. */
  devices?: readonly number[] | undefined;
  /** For loads that do not say it themselves: LoadOptions.tensorParallel; default: all devices. */
  tensorParallel?: number | undefined;
  /** The same for LoadOptions.pipelineParallel. With neither, whatever is quicker by what was measured. */
  pipelineParallel?: number | undefined;
  /** How much of a model each device gets, in proportion to the others; default: all the same. */
  weights?: readonly number[] | undefined;
  /** As what sums over devices are sent: exactly (default), or in half the bytes. */
  wire?: Wire;
  /** How many requests may wait for one model, and of how many prompt tokens; default: 64, and no limit. */
  maxQueue?: number;
  maxQueueTokens?: number | undefined;
  /** Requests of one principal at one model; default: no limit. */
  maxPerPrincipal?: number | undefined;
  /** For loads that do not say it themselves: LoadOptions.maxInFlight. */
  maxInFlight?: number | undefined;
  /** For loads that do not say it themselves: LoadOptions.prefixCache. */
  prefixCache?: boolean;
  /** For loads that do not say it themselves: LoadOptions.kvCache. */
  kvCache?: NonNullable<LoadOptions["kvCache"]>;
  /** LoadOptions.memoryLimitMb of every load. */
  memoryLimitMb?: number | undefined;
  /** What pictures may cost; default: engine/image/limits.ts. */
  images?: Partial<ImageLimits>;
  /** A step that takes longer means that the device hangs, ms; default: two minutes, on a software adapter ten. */
  stepLimitMs?: number | undefined;
  /** A load without progress for so long is given up, ms; default: as for a step. */
  loadLimitMs?: number | undefined;
  /** How often a lost device is opened again; default: restarts.ts. */
  restarts?: RestartLimits;
  /** For tests only: what shall fail (faults.ts). */
  faults?: string | undefined;
}

interface ModelDefaults extends ModelOptions {
  memoryLimitMb: number | undefined;
  maxInFlight: number | undefined;
  prefixCache: boolean;
  kvCache: NonNullable<LoadOptions["kvCache"]>;
}

/** Of a step, and of a load without progress. */
const defaultLimitMs = { hardware: 120_000, software: 600_000 };
/** Answers to "when shall I come back", s. */
const [leastWait, mostWait] = [1, 120];

/**
 * Starts the thread of the chosen device and waits until it is open. `spawn`: what starts threads, for tests.
 * Errors: no_adapter, bad_config (faults).
 */
export async function openEngine(options: EngineOptions = {}, spawn?: Spawn): Promise<Engine> {
  const {
    maxQueue = 64,
    maxQueueTokens,
    maxPerPrincipal,
    maxInFlight,
    prefixCache = true,
    kvCache = "f32",
    memoryLimitMb,
    images,
    stepLimitMs,
    loadLimitMs,
    restarts = defaultRestarts,
    faults,
    devices,
    tensorParallel,
    pipelineParallel,
    weights,
    wire = "f32",
    strict,
    autotune,
    ...gpu
  } = options;
  const modelOptions = {
    ...{ maxQueue, maxQueueTokens, maxPerPrincipal },
    maxInFlight,
    memoryLimitMb,
    prefixCache: prefixCache && !strict, // what one request left would be read by another, in other sums' bits
    kvCache,
    images: { ...defaultImageLimits, ...images },
  };
  const limit = (ms: number | undefined) =>
    ms === undefined ? defaultLimitMs : { hardware: ms, software: ms };
  const gpus = devices?.map((device) => ({ ...gpu, device })) ?? [gpu];
  const spread = { tensorParallel, pipelineParallel, weights };
  checkSpread(spread, gpus.length);
  const limits = { stepLimitMs: limit(stepLimitMs), loadLimitMs: limit(loadLimitMs) };
  const threads = { gpus, spread, wire, tuning: { strict, autotune }, ...limits, spawn };
  const planned = parseFaults(faults ?? "");
  const group = await DeviceGroup.start({ ...threads, faults: faultsOfLife(planned, 1) });
  return new DeviceEngine(group, threads, {
    modelOptions,
    restarts: new Restarts(restarts),
    faults: planned,
  });
}

/** What all lives of the threads have in common. */
type Threads = Omit<GroupOptions, "faults" | "expected">;

interface Means {
  modelOptions: ModelDefaults;
  restarts: Restarts;
  faults: readonly Fault[];
}

class DeviceEngine implements Engine {
  readonly devices: readonly DeviceReport[];
  onChange: (health: DeviceHealth) => void = () => undefined;
  readonly #means: Means;
  readonly #threads: Threads;
  readonly #residents = new Set<Resident>();
  #group: DeviceGroup;
  #health: DeviceHealth = { state: "ready", reason: undefined, losses: 0 };
  #recovery: Promise<void> = Promise.resolve();
  #over = false;
  #closed: Promise<void> | undefined;
  #lives = 1;
  /** How long it took to read all models, ms. */
  #reloadMs = 0;
  #backAt = 0;

  constructor(group: DeviceGroup, threads: Threads, means: Means) {
    this.devices = group.reports;
    this.#threads = threads;
    this.#means = means;
    this.#group = group;
    this.#follow(group);
    if (group.failure) this.#recover(group.failure.message);
  }

  get device(): DeviceReport {
    return this.devices[0]!;
  }

  get health(): DeviceHealth {
    return this.#health;
  }

  async load(
    folder: string,
    options: LoadOptions,
    onProgress: (progress: LoadProgress) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Model> {
    const limitMs = this.#threads.loadLimitMs[this.device.kind];
    const text = await withinLimit(loadText(folder, options.quant), limitMs, folder);
    if (this.#health.state === "failed" && !this.#over) {
      this.#means.restarts.forget();
      this.#recover(this.#health.reason ?? "");
    }
    await this.#recovery;
    const { maxInFlight, memoryLimitMb, prefixCache, kvCache, images } = this.#means.modelOptions;
    const own = {
      ...{
        imageCacheBytes: images.cacheBytes,
        prefixCache,
        kvCache,
        specialTokens: text.tokenizer.specialIds,
      },
      ...(maxInFlight === undefined ? {} : { maxInFlight }),
      ...(memoryLimitMb === undefined ? {} : { memoryLimitMb }),
    };
    const resident = new Resident(folder, { ...own, ...options }, () => this.#retryAfter());
    const begun = performance.now();
    const group = this.#group;
    await resident.load(group, onProgress, signal);
    if (group.failure) throw group.failure; // between its last message and now
    this.#reloadMs += performance.now() - begun;
    this.#residents.add(resident);
    return new LoadedModel(resident, text, this.#means.modelOptions, () => this.#residents.delete(resident));
  }

  settled(): Promise<void> {
    return this.#recovery;
  }

  async restart(): Promise<void> {
    await this.#recovery;
    this.#means.restarts.forget();
    if (this.#health.state === "failed") this.#recover("restarted");
    else this.#group.fail(new EngineError("device_lost", "the device is restarted on request"));
    await this.#recovery;
    if (this.#health.state !== "ready")
      throw new EngineError("device_lost", this.#health.reason ?? "closing");
  }

  close(): Promise<void> {
    this.#over = true; // before the thread is told: its end is no loss
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    const group = this.#group;
    await group.close();
    await this.#recovery;
    if (this.#group !== group) await this.#group.close();
  }

  #follow(group: DeviceGroup): void {
    group.onFailure = ({ message }) => {
      // While it recovers, the recovery itself finds out.
      if (group === this.#group && this.#health.state === "ready" && !this.#over) this.#recover(message);
    };
  }

  #recover(reason: string): void {
    this.#recovery = this.#restart(reason);
  }

  async #restart(first: string): Promise<void> {
    for (let reason: string | undefined = first; reason !== undefined && !this.#over;) {
      this.#tell({ state: "recovering", reason, losses: this.#health.losses + 1 });
      const pause = this.#means.restarts.failed(performance.now());
      this.#backAt = performance.now() + (pause ?? 0) + this.#reloadMs;
      await this.#group.abandon();
      if (pause === undefined) return this.#giveUp(reason);
      await sleep(pause);
      if (this.#over) return;
      reason = await this.#live().catch((error: Error) => error.message);
    }
    if (!this.#over) this.#tell({ ...this.#health, state: "ready", reason: undefined });
  }

  /** New threads with all models in them; what became of it, where it failed in turn. */
  async #live(): Promise<string | undefined> {
    this.#lives += 1;
    const faults = faultsOfLife(this.#means.faults, this.#lives);
    const group = await DeviceGroup.start({ ...this.#threads, faults, expected: this.devices });
    this.#group = group;
    this.#follow(group);
    const begun = performance.now();
    for (const resident of this.#residents) {
      try {
        await resident.load(group, () => undefined);
      } catch (error) {
        if (group.failure) return group.failure.message;
        this.#residents.delete(resident);
        resident.down("failed", `it could not be read again: ${(error as Error).message}`);
      }
      if (!this.#residents.has(resident)) await resident.unload(); // meanwhile, or just above
    }
    this.#reloadMs = performance.now() - begun;
    return group.failure?.message;
  }

  #giveUp(reason: string): void {
    const text = `given up after it failed again and again, at last: ${reason}`;
    this.#tell({ ...this.#health, state: "failed", reason: text });
    this.#residents.clear();
  }

  #tell(health: DeviceHealth): void {
    this.#health = health;
    const { state, reason = "" } = health;
    if (state !== "ready") for (const resident of this.#residents) resident.down(state, reason);
    this.onChange(health);
  }

  #retryAfter(): number {
    const seconds = Math.ceil((this.#backAt - performance.now()) / 1000);
    return Math.min(mostWait, Math.max(leastWait, seconds));
  }
}

/** A disk that hangs is met here first: the tokenizer is read before the device is asked. */
async function withinLimit<T>(reading: Promise<T>, limitMs: number, folder: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `${folder}: given up after ${limitMs / 1000} s in reading its tokenizer`;
    timer = setTimeout(() => reject(new EngineError("load_stalled", text)), limitMs);
  });
  return Promise.race([reading, late]).finally(() => clearTimeout(timer));
}
