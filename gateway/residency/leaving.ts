// Models that are about to go take no new requests, from any gateway: whoever unloads one tells the others through the
// store, for as long as it lives. A gateway that has not heard of it is refused by the neuron, or refuses the neuron.

import type { Fleet, Use } from "../fleet/fleet.ts";
import type { Log } from "../telemetry/log.ts";
import type { Store } from "../store/store.ts";

const prefix = "leaving.";
const ttlMs = 15_000;

type Why = NonNullable<Use["leaving"]>;

export class Leaving {
  private readonly fleet: Fleet;
  private readonly store: Store;
  private readonly log: Log;
  private readonly owner: string;
  /** Of others, by key: what takes the mark away. */
  private readonly heard = new Map<string, () => void>();
  private unwatch = () => {};

  constructor(fleet: Fleet, store: Store, log: Log, owner: string) {
    this.fleet = fleet;
    this.store = store;
    this.log = log;
    this.owner = owner;
  }

  start(): void {
    this.unwatch = this.store.watch(prefix, (change) => {
      this.heard.get(change.key)?.();
      this.heard.delete(change.key);
      if (change.kind === "delete") return;
      const { owner, why } = JSON.parse(change.entry.value) as { owner: string; why: Why };
      const [neuron, model] = JSON.parse(change.key.slice(prefix.length)) as [string, string];
      if (owner === this.owner || !this.fleet.has(neuron)) return;
      this.heard.set(change.key, this.fleet.leave(neuron, model, why));
    });
  }

  stop(): void {
    this.unwatch();
  }

  /** From now on a model takes no new requests, until the returned function is called. */
  mark(neuron: string, model: string, why: Why): () => void {
    const back = this.fleet.leave(neuron, model, why);
    const key = prefix + JSON.stringify([neuron, model]);
    const value = JSON.stringify({ owner: this.owner, why });
    const tell = () =>
      this.store.put(key, value, { ttlMs }).then(
        () => undefined,
        (error: unknown) => this.log.debug("others not told", { key, reason: String(error) }),
      );
    let told = tell();
    const timer = setInterval(() => (told = told.then(tell)), ttlMs / 3);
    timer.unref();
    return () => {
      back();
      clearInterval(timer);
      void told.then(() => this.store.delete(key)).catch(() => undefined); // it ends by itself
    };
  }
}
