// Who may do what only one may do at a time: load a model, change what lies on a neuron. Between gateways a lease in the
// shared store says so, renewed as long as its holder lives; within this one, callers stand in line.
// A store that is away stops nothing: neurons share loads of one model and refuse to unload what is busy by themselves.

import type { Log } from "../telemetry/log.ts";
import type { Store } from "../store/store.ts";

export interface Lease {
  /** Lets go of it, and leaves a note in its place for a while if one is given. Never throws. */
  release(note?: { value: string; ttlMs: number }): Promise<void>;
}

/** Who is gone without a word is believed to be there for so long. */
const ttlMs = 15_000;
/** A change may be missed: look for oneself that often. */
const lookMs = 1000;

export class Leases {
  private readonly store: Store;
  private readonly log: Log;
  private readonly owner: string;
  private readonly lines = new Map<string, Promise<void>>();

  constructor(store: Store, log: Log, owner: string) {
    this.store = store;
    this.log = log;
    this.owner = owner;
  }

  /** Undefined while somebody else has it. */
  async take(key: string): Promise<Lease | undefined> {
    try {
      const revision = await this.store.create(key, this.owner, { ttlMs });
      return revision === undefined ? undefined : this.hold(key, revision);
    } catch (error) {
      this.log.warn("no lease", { key, reason: reasonOf(error) });
      return { release: async () => {} };
    }
  }

  /** Takes it as soon as it is free: in this gateway in the order of asking. Rejects with the signal's reason. */
  async turn(key: string, signal: AbortSignal): Promise<Lease> {
    const before = this.lines.get(key) ?? Promise.resolve();
    let leave = () => {};
    const after = new Promise<void>((resolve) => (leave = resolve));
    this.lines.set(
      key,
      before.then(() => after),
    );
    try {
      await unlessAborted(before, signal);
      const lease = await this.wait(key, signal);
      return { release: (note) => lease.release(note).finally(leave) };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** What its holder, or the last one, has written there; undefined when nobody has it. */
  async read(key: string): Promise<string | undefined> {
    try {
      return (await this.store.get(key))?.value;
    } catch (error) {
      this.log.warn("no lease", { key, reason: reasonOf(error) });
      return undefined;
    }
  }

  async drop(key: string): Promise<void> {
    await this.store.delete(key).catch(() => false);
  }

  /** Resolves when something has happened to it, or after a while. */
  changed(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        unwatch();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, lookMs);
      const unwatch = this.store.watch(key, (change) => change.key === key && done());
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }

  private async wait(key: string, signal: AbortSignal): Promise<Lease> {
    for (;;) {
      signal.throwIfAborted();
      const changed = this.changed(key, signal); // from before the question: nothing in between is missed
      const lease = await this.take(key);
      if (lease) return lease;
      await changed;
    }
  }

  private hold(key: string, first: number): Lease {
    let revision: number | undefined = first;
    let renewing: Promise<void> = Promise.resolve();
    const { store, owner, log } = this;
    const timer = setInterval(() => {
      renewing = renewing.then(renew);
    }, ttlMs / 3);
    timer.unref();

    async function renew(): Promise<void> {
      if (revision === undefined) return;
      try {
        revision = await store.compareAndSet(key, owner, revision, { ttlMs });
        if (revision === undefined) log.warn("lease lost", { key });
      } catch (error) {
        log.warn("lease not renewed", { key, reason: reasonOf(error) });
      }
    }

    return {
      async release(note) {
        clearInterval(timer);
        await renewing;
        if (revision === undefined) return;
        const [last, { value, ttlMs: keepMs } = { value: undefined, ttlMs: 0 }] = [revision, note];
        revision = undefined;
        const left =
          value === undefined
            ? store.delete(key, last)
            : store.compareAndSet(key, value, last, { ttlMs: keepMs });
        await Promise.resolve(left).catch((error: unknown) =>
          log.warn("lease not released", { key, reason: reasonOf(error) }),
        );
      },
    };
  }
}

/** What the promise says; rejects with the signal's reason if that comes first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
