// Asks every neuron how it is, each in its own rhythm, so that one which hangs delays no other.

import type { Dispatcher } from "undici";
import type { Fleet, NeuronView } from "./fleet.ts";
import type { Log } from "./log.ts";
import { faultOf, readNeuron } from "./neuron-client.ts";

export interface PollerOptions {
  intervalMs: number;
  /** The rhythm while a neuron is not reached yet, or loads or unloads a model. */
  loadingIntervalMs: number;
  timeoutMs: number;
}

export class Poller {
  private readonly fleet: Fleet;
  private readonly options: PollerOptions;
  private readonly dispatcher: Dispatcher;
  private readonly log: Log;
  private readonly stopping = new AbortController();
  private readonly wake = new Map<string, () => void>();
  private readonly loops: Promise<void>[] = [];
  private readonly listeners = new Set<() => void>();

  constructor(fleet: Fleet, dispatcher: Dispatcher, log: Log, options: PollerOptions) {
    this.fleet = fleet;
    this.dispatcher = dispatcher;
    this.log = log;
    this.options = options;
  }

  start(): void {
    for (const { name } of this.fleet.neurons) this.loops.push(this.watch(name));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    for (const wake of this.wake.values()) wake();
    await Promise.all(this.loops);
  }

  /** Polls one neuron now: a request has just failed there, or its process has changed. */
  nudge(name: string): void {
    this.wake.get(name)?.();
  }

  /** Resolves after the first poll at which `condition` holds; rejects never, so race it with what may go wrong. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.listeners.delete(look);
        resolve();
      };
      this.listeners.add(look);
      look();
    });
  }

  private async watch(name: string): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await this.poll(name);
      if (this.stopping.signal.aborted) return;
      for (const listener of this.listeners) listener();
      await this.pause(name);
    }
  }

  private async poll(name: string): Promise<void> {
    const known = this.fleet.known(name);
    const before = this.fleet.neuron(name);
    const was = { ...before, models: before.models.map(({ id, status }) => ({ id, status })) };
    try {
      const { dispatcher, options, stopping } = this;
      const { timeoutMs } = options;
      const report = await readNeuron({ dispatcher, timeoutMs, signal: stopping.signal, ...known });
      // Meanwhile it may have been started anew elsewhere; then this is an answer of the dead.
      if (this.fleet.neuron(name).endpoint === known.endpoint) this.fleet.succeeded(name, report);
    } catch (error) {
      if (this.stopping.signal.aborted) return;
      this.fleet.failed(name, faultOf(error));
    }
    this.report(was, this.fleet.neuron(name));
  }

  private report(
    was: Pick<NeuronView, "state"> & { models: { id: string; status: string }[] },
    is: NeuronView,
  ) {
    const neuron = is.name;
    if (is.state === "unreachable" && was.state !== "unreachable")
      this.log.warn("neuron unreachable", { neuron, endpoint: is.endpoint, reason: is.reason });
    if (is.state === "healthy" && was.state !== "healthy")
      this.log.info("neuron healthy", { neuron, endpoint: is.endpoint, devices: is.devices.length });
    if (is.state === "healthy" && is.strikes > 0)
      this.log.debug("poll failed", { neuron, strikes: is.strikes, reason: is.reason });
    for (const { id, status, error } of is.models) {
      if (was.models.find((m) => m.id === id)?.status === status) continue;
      if (status === "failed") this.log.warn("model failed", { neuron, model: id, reason: error });
      else this.log.info(`model ${status}`, { neuron, model: id });
    }
  }

  private pause(name: string): Promise<void> {
    const { state, models } = this.fleet.neuron(name);
    const changing = models.some(({ status }) => status === "loading" || status === "unloading");
    const ms = state === "starting" || changing ? this.options.loadingIntervalMs : this.options.intervalMs;
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      this.wake.set(name, done);
      function done() {
        clearTimeout(timer);
        resolve();
      }
    });
  }
}
