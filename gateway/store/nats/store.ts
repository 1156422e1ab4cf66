// What gateways share, in NATS' key-value store. A server that is away is noticed at once and waited for in the
// background; until it is back every call fails with store_unavailable, and callers say what that means for them.

import { nuid, type NatsConnection } from "@nats-io/transport-node";
import { ConfigError } from "../../config.ts";
import { GatewayError } from "../../errors.ts";
import type { Bound, Change, Entry, PutOptions, Store } from "../store.ts";
import { Bucket, type BucketChange } from "./bucket.ts";
import { ServerClock } from "./clock.ts";
import { openNats, withoutSecrets } from "./connect.ts";
import { encodeKey } from "./keys.ts";

export interface NatsStoreOptions {
  /** nats://… or tls://… */
  url: string;
  credentialsFile?: string | undefined;
  /** Copies that a cluster of servers keeps. */
  replicas?: number;
  /** Keys under these prefixes may be large, and cannot be watched. */
  bounds?: Bound[];
  /** Names the buckets, so that several fleets may share a server. */
  fleet?: string;
  timeoutMs?: number;
  /** Hears of a server that goes and comes back. */
  onLink?: (linked: boolean) => void;
}

const measureEveryMs = 60_000;
/** The marks of deleted keys: how often they are looked through, and how old they get. */
const forgetAfterMs = 3_600_000;
/** Gateways that sweep at the same moment ask for the same; a little apart, the first does it. */
const sweepWithinMs = 100;
/** What setTimeout can count. */
const longestTimer = 2 ** 31 - 1;

interface Parts {
  nats: NatsConnection;
  clock: ServerClock;
  small: Bucket;
  bounded: { prefix: string; bucket: Bucket }[];
  topics: string;
}

export class NatsStore implements Store {
  private readonly parts: Parts;
  private readonly watchers = new Set<{ prefix: string; listener: (change: Change) => void }>();
  /** The small records as they were last seen, for those who begin to watch and for the sweep. */
  private readonly seen = new Map<string, BucketChange>();
  private readonly sweeps = new Map<string, NodeJS.Timeout>();
  private readonly closing = new AbortController();
  private readonly clockKey = `clock.${nuid.next()}`;
  private readonly timers: NodeJS.Timeout[];
  private linked = true;

  private constructor(parts: Parts, onLink: (linked: boolean) => void) {
    this.parts = parts;
    void this.followLink(onLink);
    void this.follow();
    this.timers = [
      setInterval(() => void this.measure().catch(() => undefined), measureEveryMs).unref(),
      setInterval(() => void this.forget().catch(() => undefined), forgetAfterMs).unref(),
    ];
  }

  /** Throws ConfigError when no server answers, or none that keeps anything (JetStream is off). */
  static async open(options: NatsStoreOptions): Promise<NatsStore> {
    const { bounds = [], replicas = 1, fleet = "cortex", timeoutMs = 2000 } = options;
    const nats = await openNats({ ...options, name: fleet, timeoutMs: 5 * timeoutMs });
    try {
      const clock = new ServerClock();
      const common = { replicas, timeoutMs };
      const small = await Bucket.open(nats, clock, { ...common, name: `${fleet}_state` });
      const bounded = [];
      for (const { prefix, maxBytes } of bounds) {
        const name = `${fleet}_${prefix.replace(/[^a-zA-Z0-9]/g, "")}`;
        bounded.push({ prefix, bucket: await Bucket.open(nats, clock, { ...common, name, maxBytes }) });
      }
      const parts = { nats, clock, small, bounded, topics: `${fleet}.topic.` };
      const store = new NatsStore(parts, options.onLink ?? (() => undefined));
      await store.measure();
      return store;
    } catch (error) {
      await nats.close();
      const reason =
        (error as Error).name === "JetStreamNotEnabled" ? "its JetStream is off" : (error as Error).message;
      throw new ConfigError(
        `state: ${withoutSecrets(options.url)} cannot keep what gateways share: ${reason}`,
      );
    }
  }

  get(key: string): Promise<Entry | undefined> {
    return this.reach(() => this.bucketOf(key).get(key));
  }

  put(key: string, value: string, options: PutOptions = {}): Promise<number> {
    return this.reach(() => this.bucketOf(key).put(key, value, options));
  }

  create(key: string, value: string, options: PutOptions = {}): Promise<number | undefined> {
    return this.reach(() => this.bucketOf(key).create(key, value, options));
  }

  compareAndSet(
    key: string,
    value: string,
    revision: number,
    options: PutOptions = {},
  ): Promise<number | undefined> {
    return this.reach(() => this.bucketOf(key).compareAndSet(key, value, revision, options));
  }

  delete(key: string, revision?: number): Promise<boolean> {
    return this.reach(() => this.bucketOf(key).delete(key, revision));
  }

  watch(prefix: string, listener: (change: Change) => void): () => void {
    if (this.parts.bounded.some((bound) => prefix.startsWith(bound.prefix)))
      throw new Error(`"${prefix}" cannot be watched: its records may be large`);
    const watcher = { prefix, listener };
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  async publish(topic: string, message: string): Promise<void> {
    await this.reach(async () => this.parts.nats.publish(this.parts.topics + encodeKey(topic), message));
  }

  subscribe(topic: string, listener: (message: string) => void): () => void {
    const callback = (error: Error | null, message: { string(): string }) => {
      if (!error) listener(message.string());
    };
    const subscription = this.parts.nats.subscribe(this.parts.topics + encodeKey(topic), { callback });
    return () => subscription.unsubscribe();
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    for (const timer of this.sweeps.values()) clearTimeout(timer);
    this.closing.abort();
    if (this.linked) await this.parts.small.delete(this.clockKey).catch(() => undefined);
    await this.parts.nats.close();
  }

  private bucketOf(key: string): Bucket {
    return this.parts.bounded.find(({ prefix }) => key.startsWith(prefix))?.bucket ?? this.parts.small;
  }

  /** Calls to a server that is away fail at once rather than after their time. */
  private async reach<T>(call: () => Promise<T>): Promise<T> {
    try {
      if (!this.linked) throw new Error("the connection is down");
      return await call();
    } catch (cause) {
      throw new GatewayError("store_unavailable", "The gateways' shared store cannot be reached.", null, {
        cause,
      });
    }
  }

  private async followLink(onLink: (linked: boolean) => void): Promise<void> {
    for await (const { type } of this.parts.nats.status()) {
      if (type !== "disconnect" && type !== "reconnect") continue;
      this.linked = type === "reconnect";
      if (!this.closing.signal.aborted) onLink(this.linked);
      if (this.linked) void this.measure().catch(() => undefined);
    }
  }

  /** Gateways that died leave their clock's key; it ends by itself. */
  private async measure(): Promise<void> {
    const { clock, small } = this.parts;
    await clock.measure(() => small.touch(this.clockKey, 3 * measureEveryMs));
  }

  private async forget(): Promise<void> {
    await this.parts.small.forgetDeleted(forgetAfterMs);
  }

  private async follow(): Promise<void> {
    const { signal } = this.closing;
    const pause = () => new Promise((wake) => setTimeout(wake, 500).unref());
    for (let again = false; !signal.aborted; again = true) {
      const hear = (change: BucketChange) => this.hear(change, again || change.fresh);
      await this.parts.small.watch(signal, hear).catch(() => undefined);
      if (!signal.aborted) await pause();
    }
  }

  private hear(change: BucketChange, isNews: boolean): void {
    const { key, entry, until } = change;
    const before = this.seen.get(key);
    // A watch that was begun anew tells everything again.
    if (entry ? before?.entry?.revision === entry.revision : !before) return;
    clearTimeout(this.sweeps.get(key));
    this.sweeps.delete(key);
    if (entry) this.seen.set(key, change);
    else this.seen.delete(key);
    if (entry && until < Infinity) this.sweepAt(until, key, entry.revision);
    if (!isNews) return;
    // One that was over is written anew before anybody swept it.
    if (entry && before && before.until <= this.parts.clock.now()) this.tell({ kind: "delete", key });
    this.tell(entry ? { kind: "put", key, entry } : { kind: "delete", key });
  }

  private tell(change: Change): void {
    for (const { prefix, listener } of this.watchers) if (change.key.startsWith(prefix)) listener(change);
  }

  private sweepAt(until: number, key: string, revision: number): void {
    const ms = until - this.parts.clock.now() + Math.random() * sweepWithinMs;
    const sweep = () => {
      if (this.parts.clock.now() < until) this.sweepAt(until, key, revision);
      else void this.parts.small.sweep(key, revision).catch(() => undefined);
    };
    this.sweeps.set(key, setTimeout(sweep, Math.min(Math.max(ms, 1), longestTimer)).unref());
  }
}
