// What gateways share, behind one small interface: leases, budgets, stored responses. Values are JSON texts. The
// in-process one serves a single gateway; anything that can compare and set can serve several.

export interface Entry {
  value: string;
  /** Grows with every change of any key. */
  revision: number;
}

export type Change = { key: string } & ({ kind: "put"; entry: Entry } | { kind: "delete" });

export interface PutOptions {
  /** The key is gone after this time. */
  ttlMs?: number;
}

export interface Store {
  get(key: string): Promise<Entry | undefined>;
  /** The new revision. */
  put(key: string, value: string, options?: PutOptions): Promise<number>;
  /** Undefined when the key exists: somebody else was first. */
  create(key: string, value: string, options?: PutOptions): Promise<number | undefined>;
  /** Sets the key if it still has that revision; undefined when it has not. */
  compareAndSet(
    key: string,
    value: string,
    revision: number,
    options?: PutOptions,
  ): Promise<number | undefined>;
  /** True when the key was there, and had the revision if one is given. */
  delete(key: string, revision?: number): Promise<boolean>;
  /** Calls back for every change of keys that begin with `prefix`, expiry included, until the returned function is called. */
  watch(prefix: string, listener: (change: Change) => void): () => void;
  publish(topic: string, message: string): Promise<void>;
  /** Messages are not kept: who subscribes later has missed them. */
  subscribe(topic: string, listener: (message: string) => void): () => void;
  close(): Promise<void>;
}

export interface Bound {
  prefix: string;
  /** Of keys and values, roughly as they lie in memory. */
  maxBytes: number;
}

interface Held extends Entry {
  /** performance.now(): a clock that is set does not end a lease. */
  expiresAt: number;
}

/** Under a bounded prefix the keys that were set longest ago go when there is no more room. */
export class MemoryStore implements Store {
  private readonly held = new Map<string, Held>();
  private readonly bounds: readonly (Bound & { bytes: number })[];
  private readonly watchers = new Set<{ prefix: string; listener: (change: Change) => void }>();
  private readonly topics = new Map<string, Set<(message: string) => void>>();
  private readonly now: () => number;
  private revision = 0;
  private timer: NodeJS.Timeout | undefined;
  private wakeAt = Infinity;

  constructor({ bounds = [], now = () => performance.now() }: { bounds?: Bound[]; now?: () => number } = {}) {
    this.bounds = bounds.map((bound) => ({ ...bound, bytes: 0 }));
    this.now = now;
  }

  async get(key: string): Promise<Entry | undefined> {
    const held = this.alive(key);
    return held && { value: held.value, revision: held.revision };
  }

  async put(key: string, value: string, options: PutOptions = {}): Promise<number> {
    return this.set(key, value, options);
  }

  async create(key: string, value: string, options: PutOptions = {}): Promise<number | undefined> {
    return this.alive(key) ? undefined : this.set(key, value, options);
  }

  async compareAndSet(
    key: string,
    value: string,
    revision: number,
    options: PutOptions = {},
  ): Promise<number | undefined> {
    return this.alive(key)?.revision === revision ? this.set(key, value, options) : undefined;
  }

  async delete(key: string, revision?: number): Promise<boolean> {
    const held = this.alive(key);
    if (!held || (revision !== undefined && held.revision !== revision)) return false;
    this.drop(key);
    return true;
  }

  watch(prefix: string, listener: (change: Change) => void): () => void {
    const watcher = { prefix, listener };
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  async publish(topic: string, message: string): Promise<void> {
    for (const listener of this.topics.get(topic) ?? []) listener(message);
  }

  subscribe(topic: string, listener: (message: string) => void): () => void {
    const listeners = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.topics.delete(topic);
    };
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
  }

  private set(key: string, value: string, { ttlMs }: PutOptions): number {
    this.forget(key); // set anew, it is the youngest
    const expiresAt = ttlMs === undefined ? Infinity : this.now() + ttlMs;
    const entry = { value, revision: ++this.revision };
    this.held.set(key, { ...entry, expiresAt });
    this.wake(expiresAt);
    this.tell({ key, kind: "put", entry });
    this.account(key, sizeOf(key, value));
    return entry.revision;
  }

  /** Counts bytes under the bounds of a key, and makes room. */
  private account(key: string, bytes: number): void {
    for (const bound of this.bounds.filter(({ prefix }) => key.startsWith(prefix))) {
      bound.bytes += bytes;
      for (const oldest of this.held.keys()) {
        if (bound.bytes <= bound.maxBytes) break;
        if (oldest.startsWith(bound.prefix)) this.drop(oldest);
      }
    }
  }

  private alive(key: string): Held | undefined {
    const held = this.held.get(key);
    if (!held || held.expiresAt > this.now()) return held;
    this.drop(key);
    return undefined;
  }

  private drop(key: string): void {
    if (this.forget(key)) this.tell({ key, kind: "delete" });
  }

  private forget(key: string): boolean {
    const held = this.held.get(key);
    if (!held) return false;
    this.held.delete(key);
    for (const bound of this.bounds) if (key.startsWith(bound.prefix)) bound.bytes -= sizeOf(key, held.value);
    return true;
  }

  private tell(change: Change): void {
    for (const { prefix, listener } of this.watchers) if (change.key.startsWith(prefix)) listener(change);
  }

  /** One timer for all: at the first expiry. */
  private wake(at: number): void {
    if (at >= this.wakeAt) return;
    clearTimeout(this.timer);
    this.wakeAt = at;
    this.timer = setTimeout(() => this.expire(), Math.min(at - this.now(), longestTimer));
    this.timer.unref();
  }

  private expire(): void {
    this.wakeAt = Infinity;
    let next = Infinity;
    for (const [key, { expiresAt }] of this.held)
      if (expiresAt <= this.now()) this.drop(key);
      else next = Math.min(next, expiresAt);
    if (next < Infinity) this.wake(next);
  }
}

/** What setTimeout can count, in ms. */
const longestTimer = 2 ** 31 - 1;

function sizeOf(key: string, value: string): number {
  return 2 * (key.length + value.length);
}
