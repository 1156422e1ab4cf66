// The threads of an engine's devices, in one life of theirs: a model may be on several of them, so they fail together and
// are started anew together.
import { MessageChannel } from "node:worker_threads";
import type { EngineError } from "../errors.ts";
import type { GpuOptions } from "../gpu/adapter.ts";
import type { DeviceReport } from "../gpu/report.ts";
import type { Wire } from "../parallel/allReduce.ts";
import type { DeviceLink } from "./link.ts";
import type { DeviceModelInfo } from "./messages.ts";
import { choosePlaces, wayOf, type Chosen, type Spread } from "./spread.ts";
import { expectAlike } from "./team/deal.ts";
import type { TeamSettings } from "./team/gather.ts";
import { startThread, type DeviceThread, type ThreadOptions } from "./thread.ts";
import type { LoadOptions, LoadProgress } from "./types.ts";

export interface GroupOptions extends Omit<ThreadOptions, "gpu" | "expected"> {
  /** In the order of their places; the first is the engine's own device. */
  gpus: readonly GpuOptions[];
  /** For all lives the devices must be these. */
  expected?: readonly DeviceReport[];
  spread: Spread;
  wire: Wire;
}

/** A model on the devices of a group. */
export interface Placed {
  /** Of the device that leads. */
  link: DeviceLink;
  model: number;
  info: DeviceModelInfo;
  /** Of the devices that it is on, in the order of the ranks. */
  devices: readonly number[];
  unload(): Promise<void>;
}

/** What a rank may let the others wait for a sum, of the longest step: so the ranks say first which of them it was. */
const sumShare = 3 / 4;

export class DeviceGroup {
  readonly reports: readonly DeviceReport[];
  /** Hears the first failure of any of them, after everybody who waited. */
  onFailure: (error: EngineError) => void = () => undefined;
  readonly #threads: readonly DeviceThread[];
  readonly #options: GroupOptions;
  /** Bytes that each has promised to models. */
  readonly #promised: number[];
  #loading: Promise<unknown> = Promise.resolve();
  #failure: EngineError | undefined;
  #over = false;

  private constructor(threads: readonly DeviceThread[], options: GroupOptions) {
    this.reports = threads.map(({ report }) => report);
    this.#threads = threads;
    this.#options = options;
    this.#promised = threads.map(() => 0);
    for (const { link } of threads) {
      link.onFailure = (error) => {
        if (!this.#over) this.fail(error);
      };
      if (link.failure) this.#failure ??= link.failure; // while the others were started
    }
  }

  /** Starts them one after another: which drivers are seen is decided for one at a time. Errors: as startThread. */
  static async start(options: GroupOptions): Promise<DeviceGroup> {
    const threads: DeviceThread[] = [];
    const { gpus, expected, faults, stepLimitMs, loadLimitMs, tuning, spawn } = options;
    try {
      for (const [place, gpu] of gpus.entries()) {
        const own = faults.filter((fault) => fault.place === place);
        const like = { gpu, faults: own, stepLimitMs, loadLimitMs, tuning, spawn };
        threads.push(await startThread({ ...like, expected: expected?.[place] }));
      }
      return new DeviceGroup(threads, options);
    } catch (error) {
      await Promise.all(threads.map((thread) => thread.abandon()));
      throw error;
    }
  }

  /** Why they can no longer be used, if so. */
  get failure(): EngineError | undefined {
    return this.#failure;
  }

  /** Every wait for any of them ends with this error. */
  fail(error: EngineError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const { link } of this.#threads) link.fail(error);
    this.onFailure(error);
  }

  /** One load at a time. Errors: those of the load; device_lost; the signal's reason. */
  load(
    folder: string,
    options: LoadOptions,
    onProgress: (p: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<Placed> {
    const turn = this.#loading.then(() => this.#load(folder, options, onProgress, signal));
    this.#loading = turn.catch(() => undefined);
    return turn;
  }

  async #load(
    folder: string,
    options: LoadOptions,
    onProgress: (p: LoadProgress) => void,
    signal: AbortSignal | undefined,
  ): Promise<Placed> {
    signal?.throwIfAborted();
    const indices = this.reports.map(({ index }) => index);
    const chosen = choosePlaces(indices, this.#promised, this.#options.spread, options);
    expectAlike(chosen.map(({ place }) => this.reports[place]!));
    const [leads, ...others] = chosen.map(({ place }) => this.#threads[place]!.link);
    const promised = this.#promisedOn(chosen[0]!.place);
    const by = wayOf(this.#options.spread, options);
    const team = chosen.length > 1 ? this.#teamOf(chosen, others, by) : undefined;
    const { model, info } = await leads!.load({ folder, options, promised, team }, onProgress, signal);
    const take = (sign: 1 | -1) => {
      for (const [rank, { place }] of chosen.entries())
        this.#promised[place]! += sign * info.plans[rank]!.totalBytes;
    };
    take(1);
    return {
      ...{ link: leads!, model, info, devices: chosen.map(({ place }) => indices[place]!) },
      unload: async () => {
        await leads!.unload(model);
        take(-1);
      },
    };
  }

  /** Tells the others whom to follow. */
  #teamOf(chosen: readonly Chosen[], others: readonly DeviceLink[], by: TeamSettings["by"]): TeamSettings {
    const ports = others.map((link) => {
      const { port1, port2 } = new MessageChannel();
      link.follow(port2);
      return port1;
    });
    const places = chosen.map(({ place, weight }) => ({
      ...{ report: this.reports[place]!, promised: this.#promisedOn(place), weight },
    }));
    const limitMs = sumShare * this.#options.stepLimitMs[this.reports[0]!.kind];
    return { places, ports, wire: this.#options.wire, by, limitMs };
  }

  /** By all places that are the same device. */
  #promisedOn(place: number): number {
    const { index } = this.reports[place]!;
    return this.#promised.reduce((sum, bytes, i) => sum + (this.reports[i]!.index === index ? bytes : 0), 0);
  }

  /** Lets jobs end and frees the devices. */
  async close(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  /** Ends them whatever they do. */
  async abandon(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#threads.map((thread) => thread.abandon()));
  }
}
