// Neurons that an operator takes out of service: nothing new goes there, and what runs there ends in peace. Said once, in
// the store, it holds for every gateway and outlives them, until it is taken back.

import type { Fleet } from "./fleet.ts";
import type { Log } from "../telemetry/log.ts";
import type { Store } from "../store/store.ts";

const prefix = "drain.";

export class Drains {
  private readonly fleet: Fleet;
  private readonly store: Store;
  private readonly log: Log;
  private unwatch = () => {};

  constructor(fleet: Fleet, store: Store, log: Log) {
    this.fleet = fleet;
    this.store = store;
    this.log = log;
  }

  /** Hears what other gateways are told, and what was said before. */
  async start(): Promise<void> {
    this.unwatch = this.store.watch(prefix, ({ key, kind }) =>
      this.apply(key.slice(prefix.length), kind === "put"),
    );
    await Promise.all(this.fleet.neurons.map(({ name }) => this.recall(name)));
  }

  /** What was said of a neuron before it was one of ours. */
  async recall(name: string): Promise<void> {
    try {
      if (await this.store.get(prefix + name)) this.apply(name, true);
    } catch (error) {
      this.log.warn("not known whether a neuron is drained", { neuron: name, reason: String(error) });
    }
  }

  /** Throws what the store throws: an order that not every gateway hears is none. */
  async set(name: string, drained: boolean): Promise<void> {
    if (drained) await this.store.put(prefix + name, "{}");
    else await this.store.delete(prefix + name);
    this.apply(name, drained);
  }

  stop(): void {
    this.unwatch();
  }

  private apply(name: string, drained: boolean): void {
    if (!this.fleet.has(name) || this.fleet.isDrained(name) === drained) return;
    this.fleet.drain(name, drained);
    this.log.info(drained ? "neuron is drained" : "neuron serves again", { neuron: name });
  }
}
