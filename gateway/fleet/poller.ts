// Asks every neuron how it is, each in its own rhythm, so that one which hangs delays no other.

import type { Dispatcher } from "undici";
import type { Fleet, NeuronView } from "./fleet.ts";
import type { Log } from "../telemetry/log.ts";
import { faultOf, readNeuron } from "./neuron-client.ts";
import { readServer } from "../servers/read-models.ts";
import type { Server } from "../servers/server.ts";

export interface PollerOptions {
  intervalMs: number;
  /** The rhythm while a neuron is not reached yet, or loads or unloads a model. */
  loadingIntervalMs: number;
  timeoutMs: number;
  /** By name, those neurons that are servers of other makes. */
  servers: ReadonlyMap<string, Server>;
}

export class Poller {
  private readonly fleet: Fleet;
  private readonly options: PollerOptions;
  private readonly dispatcher: Dispatcher;
  private readonly log: Log;
  private readonly stopping = new AbortController();
  private readonly wake = new Map<string, () => void>();
  private readonly loops = new Map<string, Promise<void>>();
  /** Polls are numbered as they are sent: an answer that comes after that to a later poll is out of date. */
  private sent = 0;
  private readonly heard = new Map<string, number>();

  constructor(fleet: Fleet, dispatcher: Dispatcher, log: Log, options: PollerOptions) {
    this.fleet = fleet;
    this.dispatcher = dispatcher;
    this.log = log;
    this.options = options;
  }

  /** From the next poll on. */
  configure(options: Omit<PollerOptions, "servers">): void {
    Object.assign(this.options, options);
  }

  start(): void {
    for (const { name } of this.fleet.neurons) this.follow(name);
  }

  /** Polls a neuron for as long as it is in the fleet. */
  follow(name: string): void {
    const before = this.loops.get(name) ?? Promise.resolve();
    this.nudge(name); // should it sleep, for one that has left under that name
    this.loops.set(
      name,
      before.then(() => this.watch(this.fleet.neuron(name))),
    );
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    for (const wake of this.wake.values()) wake();
    await Promise.all(this.loops.values());
  }

  /** Polls one neuron now: a request has just failed there, or its process has changed. */
  nudge(name: string): void {
    this.wake.get(name)?.();
  }

  /** Asks one neuron now; afterwards the fleet knows what it said, or that it said nothing. */
  async refresh(name: string): Promise<void> {
    if (this.fleet.has(name)) await this.poll(name);
  }

  private async watch(neuron: NeuronView): Promise<void> {
    const { name } = neuron;
    const isThere = () => !this.stopping.signal.aborted && this.isIn(neuron);
    while (isThere()) {
      await this.poll(name);
      if (isThere()) await this.pause(name);
    }
  }

  /** A neuron may leave the fleet, and another one come under its name. */
  private isIn(neuron: NeuronView): boolean {
    return this.fleet.has(neuron.name) && this.fleet.neuron(neuron.name) === neuron;
  }

  private async poll(name: string): Promise<void> {
    const turn = ++this.sent;
    const known = this.fleet.known(name);
    const neuron = this.fleet.neuron(name);
    // Meanwhile it may have been started anew elsewhere, or have left; then this is an answer of the dead.
    const counts = () =>
      this.isIn(neuron) && neuron.endpoint === known.endpoint && turn > (this.heard.get(name) ?? 0);
    try {
      const { dispatcher, options, stopping } = this;
      const { timeoutMs } = options;
      const reading = { dispatcher, timeoutMs, signal: stopping.signal, ...known };
      const server = options.servers.get(name);
      const report = await (server ? readServer(reading, server) : readNeuron(reading));
      if (counts()) this.learn(neuron, turn, () => this.fleet.succeeded(name, report));
    } catch (error) {
      if (this.stopping.signal.aborted || !counts()) return;
      this.learn(neuron, turn, () => this.fleet.failed(name, faultOf(error)));
    }
  }

  /** What a poll has changed goes to the log; several may be under way at once, and each tells only its own. */
  private learn(neuron: NeuronView, turn: number, change: () => void): void {
    const was = { state: neuron.state, models: neuron.models.map(({ id, status }) => ({ id, status })) };
    change();
    this.heard.set(neuron.name, turn);
    this.report(was, neuron);
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
    const moving = models.some(({ status }) => ["loading", "unloading", "recovering"].includes(status));
    const changing = moving || this.fleet.isWorkedOn(name);
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
