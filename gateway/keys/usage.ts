// What each key has used, by day (UTC), in the store that the gateways share. Added up here for a few seconds before it
// is written, so that a request costs the store nothing; what cannot be written is kept and tried again.

import { amend, within } from "../store/amend.ts";
import type { Log } from "../telemetry/log.ts";
import type { Store } from "../store/store.ts";

export interface Used {
  requests: number;
  /** Those of the requests that ended in an error. */
  errors: number;
  prompt_tokens: number;
  completion_tokens: number;
  /** Of the prompts: those that a prefix cache held. */
  cached_tokens: number;
}

export interface UsageOptions {
  store: Store;
  log: Log;
  /** Milliseconds since 1970. */
  now?: () => number;
  flushMs?: number;
}

const usagePrefix = "usage.";
const dayMs = 86_400_000;
export const keptDays = 92;
const storeWaitMs = 2000;

export class Usage {
  private readonly store: Store;
  private readonly log: Log;
  private readonly now: () => number;
  /** By the store's key. */
  private pending = new Map<string, Used>();
  private writing: Promise<void> = Promise.resolve();
  private readonly timer: NodeJS.Timeout;

  constructor({ store, log, now = Date.now, flushMs = 5000 }: UsageOptions) {
    this.store = store;
    this.log = log;
    this.now = now;
    this.timer = setInterval(() => void this.flush(), flushMs);
    this.timer.unref();
  }

  add(id: string, used: Used): void {
    const key = keyOf(id, this.now());
    this.pending.set(key, sumUsed(this.pending.get(key), used));
  }

  /** By day (YYYY-MM-DD), today first; days on which nothing was used are left out. */
  async of(id: string, days: number): Promise<Record<string, Used>> {
    await this.flush();
    const times = Array.from({ length: days }, (_, i) => this.now() - i * dayMs);
    const entries = await Promise.all(
      times.map(async (time) => [dayOf(time), await this.read(keyOf(id, time))] as const),
    );
    return Object.fromEntries(entries.filter((entry): entry is [string, Used] => entry[1] !== undefined));
  }

  flush(): Promise<void> {
    this.writing = this.writing.then(() => this.write());
    return this.writing;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  private async read(key: string): Promise<Used | undefined> {
    const entry = await within(storeWaitMs, this.store.get(key));
    return entry && (JSON.parse(entry.value) as Used);
  }

  private async write(): Promise<void> {
    const { pending } = this;
    this.pending = new Map();
    for (const [key, used] of pending)
      try {
        await within(storeWaitMs, this.addTo(key, used));
        pending.delete(key);
      } catch (error) {
        this.log.warn("usage not written; it is kept", { reason: String(error) });
        break;
      }
    for (const [key, used] of pending) this.pending.set(key, sumUsed(this.pending.get(key), used));
  }

  private addTo(key: string, used: Used): Promise<void> {
    const change = (value: string | undefined) => {
      const before = value === undefined ? undefined : (JSON.parse(value) as Used);
      return { value: JSON.stringify(sumUsed(before, used)), result: undefined };
    };
    return amend(this.store, key, change, { ttlMs: keptDays * dayMs });
  }
}

export const nothingUsed: Used = {
  ...{ requests: 0, errors: 0, prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0 },
};

export function sumUsed(a: Used = nothingUsed, b: Used): Used {
  return {
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    prompt_tokens: a.prompt_tokens + b.prompt_tokens,
    completion_tokens: a.completion_tokens + b.completion_tokens,
    cached_tokens: a.cached_tokens + b.cached_tokens,
  };
}

function keyOf(id: string, time: number): string {
  return `${usagePrefix}${id}.${dayOf(time)}`;
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
