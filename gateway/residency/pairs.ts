// Pairs of a neuron and a model that all gateways agree on: one short list in the store, kept in memory as it was last
// heard of.

import * as v from "valibot";
import type { Log } from "../telemetry/log.ts";
import { amend } from "../store/amend.ts";
import type { Store } from "../store/store.ts";

const List = v.array(v.tuple([v.string(), v.string()]));
type List = v.InferOutput<typeof List>;

export class Pairs {
  private readonly store: Store;
  private readonly log: Log;
  private readonly key: string;
  private list: List = [];
  private unwatch = () => {};

  constructor(store: Store, log: Log, key: string) {
    this.store = store;
    this.log = log;
    this.key = key;
  }

  /** A store that is away leaves the list empty until it tells of a change. */
  async start(): Promise<void> {
    this.unwatch = this.store.watch(this.key, (change) => {
      if (change.key === this.key) this.list = change.kind === "put" ? listIn(change.entry.value) : [];
    });
    try {
      this.list = listIn((await this.store.get(this.key))?.value);
    } catch (error) {
      this.log.warn(`${this.key} not read`, { reason: String(error) });
    }
  }

  stop(): void {
    this.unwatch();
  }

  has(neuron: string, model: string): boolean {
    return this.list.some(([n, m]) => n === neuron && m === model);
  }

  /** Throws what the store throws. */
  async set(neuron: string, model: string, there: boolean): Promise<void> {
    await amend(
      this.store,
      this.key,
      (value) => {
        const others = listIn(value).filter(([n, m]) => n !== neuron || m !== model);
        this.list = there ? [...others, [neuron, model]] : others;
        return { value: JSON.stringify(this.list), result: undefined };
      },
      {},
    );
  }
}

function listIn(value: string | undefined): List {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), List), value);
  return parsed.success ? parsed.output : [];
}
