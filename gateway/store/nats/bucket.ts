// One bucket of NATS' key-value store with lifetimes for each key, which servers before 2.11 do not have: a record says
// how long it lives, readers count by the server's clock, and every gateway sweeps what is over.

import { nuid, type NatsConnection } from "@nats-io/transport-node";
import {
  DiscardPolicy,
  jetstream,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
} from "@nats-io/jetstream";
import { Kvm, type KV, type KvEntry } from "@nats-io/kv";
import type { Entry, PutOptions } from "../store.ts";
import type { ServerClock } from "./clock.ts";
import { decodeKey, encodeKey } from "./keys.ts";
import { cut, decodeRecord, encodeRecord, type StoredRecord } from "./record.ts";

export interface BucketOptions {
  name: string;
  replicas: number;
  /** The oldest records go when there would be more; without it there is no limit. */
  maxBytes?: number;
  timeoutMs: number;
}

/** A record and when it is over, in ms of the server's clock. */
interface Alive extends StoredRecord {
  revision: number;
  until: number;
}

export interface BucketChange {
  key: string;
  /** Undefined when the key is gone. */
  entry: Entry | undefined;
  /** In ms of the server's clock; Infinity where it does not end. */
  until: number;
  /** False for what was there when the watch began. */
  fresh: boolean;
}

interface Parts {
  nats: NatsConnection;
  kv: KV;
  stream: JetStreamClient;
  name: string;
  clock: ServerClock;
  /** Old records make way for young ones. */
  bounded: boolean;
}

/** What NATS spends of a message's limit besides the value: subject and headers. */
const overheadBytes = 4096;

export class Bucket {
  private readonly nats: NatsConnection;
  private readonly kv: KV;
  private readonly stream: JetStreamClient;
  private readonly name: string;
  private readonly clock: ServerClock;
  private readonly bounded: boolean;

  private constructor(parts: Parts) {
    this.nats = parts.nats;
    this.kv = parts.kv;
    this.stream = parts.stream;
    this.name = parts.name;
    this.clock = parts.clock;
    this.bounded = parts.bounded;
  }

  static async open(
    nats: NatsConnection,
    clock: ServerClock,
    { name, replicas, maxBytes, timeoutMs }: BucketOptions,
  ): Promise<Bucket> {
    const stream = jetstream(nats, { timeout: timeoutMs });
    // Read from the leader: a client who has an id must find its response.
    const options = {
      replicas,
      allow_direct: false,
      ...(maxBytes !== undefined && { max_bytes: Math.ceil(maxBytes) }),
    };
    const kv = await new Kvm(stream).create(name, options);
    if (maxBytes !== undefined) await dropOldest(stream, name);
    return new Bucket({ nats, kv, stream, name, clock, bounded: maxBytes !== undefined });
  }

  async get(key: string): Promise<Entry | undefined> {
    const alive = await this.find(key);
    if (!alive) return undefined;
    const value = alive.pieces ? await this.join(alive.pieces) : alive.value;
    return value === undefined ? undefined : { value, revision: alive.revision };
  }

  async put(key: string, value: string, options: PutOptions): Promise<number> {
    return this.kv.put(encodeKey(key), await this.pack(value, options));
  }

  async create(key: string, value: string, options: PutOptions): Promise<number | undefined> {
    const held = await this.kv.get(encodeKey(key));
    if (held && this.alive(held)) return undefined;
    return this.swap(key, value, held?.revision ?? 0, options);
  }

  async compareAndSet(
    key: string,
    value: string,
    revision: number,
    options: PutOptions,
  ): Promise<number | undefined> {
    const alive = await this.find(key);
    return alive?.revision === revision ? this.swap(key, value, revision, options) : undefined;
  }

  /** True when there was something to delete. */
  async delete(key: string, revision?: number): Promise<boolean> {
    const alive = await this.find(key);
    if (!alive || (revision !== undefined && alive.revision !== revision)) return false;
    const deleted = await ifUnchanged(async () => {
      await this.kv.delete(encodeKey(key), { previousSeq: alive.revision });
      return true;
    });
    // Somebody was between: without a revision asked for, whatever is there now goes too.
    if (!deleted) return revision === undefined ? this.delete(key) : false;
    for (const piece of alive.pieces ?? []) await this.kv.delete(piece);
    return true;
  }

  /** Every record there is, then every change, until the signal; a lost connection is a pause. */
  async watch(signal: AbortSignal, listener: (change: BucketChange) => void): Promise<void> {
    const changes = await this.kv.watch();
    signal.addEventListener("abort", () => changes.stop(), { once: true });
    for await (const entry of changes) {
      const alive = entry.operation === "PUT" ? this.alive(entry) : undefined;
      const fresh = entry.isUpdate;
      const found = alive && { value: alive.value, revision: alive.revision };
      listener({ key: decodeKey(entry.key), entry: found, until: alive?.until ?? Infinity, fresh });
    }
  }

  /** Removes a record that is over, if it is still that one: others are told of it then. */
  async sweep(key: string, revision: number): Promise<void> {
    await ifUnchanged(() => this.kv.delete(encodeKey(key), { previousSeq: revision }));
  }

  /** Deleted keys leave a mark behind for those who watch; old ones are of use to nobody. */
  async forgetDeleted(olderThanMs: number): Promise<void> {
    const manager = await this.stream.jetstreamManager();
    const marks = [];
    for await (const entry of await this.kv.history()) if (entry.operation !== "PUT") marks.push(entry);
    for (const { rawKey, revision, created } of marks) {
      if (this.clock.now() - created.getTime() < olderThanMs) continue;
      // Up to the mark: whoever has created the key again meanwhile keeps it.
      const filter = `$KV.${this.name}.${rawKey}`;
      await manager.streams.purge(`KV_${this.name}`, { filter, seq: revision + 1 });
    }
  }

  /** Writes an empty record; the server's time of it, in ms since 1970. */
  async touch(key: string, ttlMs: number): Promise<number> {
    await this.put(key, "", { ttlMs });
    const entry = await this.kv.get(encodeKey(key));
    return entry!.created.getTime();
  }

  private async find(key: string): Promise<Alive | undefined> {
    const held = await this.kv.get(encodeKey(key));
    return held ? this.alive(held) : undefined;
  }

  private alive(entry: KvEntry): Alive | undefined {
    if (entry.operation !== "PUT") return undefined;
    const record = decodeRecord(entry.string());
    const until = entry.created.getTime() + (record.ttlMs ?? Infinity);
    return until > this.clock.now() ? { ...record, revision: entry.revision, until } : undefined;
  }

  private async swap(
    key: string,
    value: string,
    revision: number,
    options: PutOptions,
  ): Promise<number | undefined> {
    const record = await this.pack(value, options);
    return ifUnchanged(() => this.kv.put(encodeKey(key), record, { previousSeq: revision }));
  }

  /** A record as it is written; what is larger than a message may be goes ahead of it, in pieces. */
  private async pack(value: string, { ttlMs }: PutOptions): Promise<string> {
    const most = (this.nats.info?.max_payload ?? 2 ** 20) - overheadBytes;
    const bytes = Buffer.from(value);
    if (bytes.length <= most) return encodeRecord({ value, ...(ttlMs !== undefined && { ttlMs }) });
    // Pieces that are not referred to any more are pushed out by younger records, which only a bounded bucket does.
    if (!this.bounded) throw new Error(`a value of ${bytes.length} bytes where only small ones are kept`);
    const id = nuid.next();
    const pieces: string[] = [];
    for (const [i, piece] of cut(bytes, most).entries()) {
      pieces.push(`piece.${id}.${i}`);
      await this.kv.put(pieces[i]!, piece);
    }
    return encodeRecord({ value: "", pieces, ...(ttlMs !== undefined && { ttlMs }) });
  }

  /** Undefined when a piece is gone. */
  private async join(keys: readonly string[]): Promise<string | undefined> {
    const entries = await Promise.all(keys.map((key) => this.kv.get(key)));
    const values = entries.flatMap((entry) => (entry?.operation === "PUT" ? [entry.value] : []));
    return values.length === keys.length ? Buffer.concat(values).toString() : undefined;
  }
}

/** Buckets refuse what does not fit; this one forgets instead. */
async function dropOldest(stream: JetStreamClient, name: string): Promise<void> {
  const manager = await stream.jetstreamManager();
  await manager.streams.update(`KV_${name}`, { discard: DiscardPolicy.Old });
}

/** What `write` gives, or undefined when somebody else has written since. */
async function ifUnchanged<T>(write: () => Promise<T>): Promise<T | undefined> {
  try {
    return await write();
  } catch (error) {
    const code = error instanceof JetStreamApiError ? error.code : undefined;
    if (code === JetStreamApiCodes.StreamWrongLastSequence) return undefined;
    throw error;
  }
}
