// The keys' accounts, in the store that the gateways share. An account changes by compare-and-set, one change of a key at
// a time. While the store is away this gateway keeps accounts of its own: limits then hold for each gateway by itself,
// and nobody is locked out.

import { amend, within } from "../store/amend.ts";
import { GatewayError } from "../errors.ts";
import type { Key } from "./keys.ts";
import type { Account, LimitReason } from "./limits.ts";
import { admit, charge, emptyAccount, isLimited, leaseMs, lifetimeMs } from "./limits.ts";
import type { Log } from "../telemetry/log.ts";
import type { Store } from "../store/store.ts";
import { MemoryStore } from "../store/store.ts";

/** A request of a key, under way. */
export interface Stay {
  /** It has ended and has cost so many tokens. Idempotent. */
  leave(tokens: number): void;
}

export interface LedgerOptions {
  store: Store;
  log: Log;
  /** This gateway's name among those that share the store. */
  gateway: string;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export const accountPrefix = "limit.";

const unlimited: Stay = { leave: () => {} };
/** A store that takes longer is away, and is then left alone for a while. */
const storeWaitMs = 1000;
const storePauseMs = 5000;

export class Ledger {
  private readonly store: Store;
  private readonly log: Log;
  private readonly gateway: string;
  private readonly now: () => number;
  private readonly own = new MemoryStore();
  /** By key id: the requests that this gateway has running. */
  private readonly running = new Map<string, { key: Key; count: number }>();
  /** By key id: the last of the changes that wait for each other. */
  private readonly turns = new Map<string, Promise<unknown>>();
  private storeAwayUntil = -Infinity;
  private readonly renewal: NodeJS.Timeout;

  constructor({ store, log, gateway, now = Date.now }: LedgerOptions) {
    this.store = store;
    this.log = log;
    this.gateway = gateway;
    this.now = now;
    this.renewal = setInterval(() => this.renew(), leaseMs / 3);
    this.renewal.unref();
  }

  /** Throws rate_limit_exceeded. */
  async enter(key: Key): Promise<Stay> {
    if (!isLimited(key)) return unlimited;
    await this.inTurn(key, () => this.admit(key));
    let left = false;
    return {
      leave: (tokens) => {
        if (left) return;
        left = true;
        void this.inTurn(key, () => this.leave(key, tokens));
      },
    };
  }

  /** Says again what is running here, before the others forget. */
  renew(): void {
    for (const { key } of this.running.values()) void this.inTurn(key, () => this.charge(key, 0));
  }

  /** Resolves when every change has been made. */
  async close(): Promise<void> {
    clearInterval(this.renewal);
    await Promise.allSettled(this.turns.values());
    await this.own.close();
  }

  private async admit(key: Key): Promise<void> {
    const refusal = await this.change(key, (account) => {
      const admission = admit(account, key, this.runningOf(key), this.now());
      return admission.kind === "admitted"
        ? { account: admission.account, result: undefined }
        : { account: undefined, result: admission };
    });
    if (refusal) throw refused(key, refusal);
    this.count(key, 1);
  }

  private async leave(key: Key, tokens: number): Promise<void> {
    this.count(key, -1);
    await this.charge(key, tokens);
  }

  private charge(key: Key, tokens: number): Promise<undefined> {
    return this.change(key, (account) => ({
      ...{ account: charge(account, key, this.runningOf(key), tokens, this.now()), result: undefined },
    }));
  }

  private runningOf({ id }: Key) {
    return { gateway: this.gateway, count: this.running.get(id)?.count ?? 0 };
  }

  private count(key: Key, change: number): void {
    const count = (this.running.get(key.id)?.count ?? 0) + change;
    if (count === 0) this.running.delete(key.id);
    else this.running.set(key.id, { key, count });
  }

  private async change<T>(key: Key, next: Change<T>): Promise<T> {
    if (performance.now() >= this.storeAwayUntil)
      try {
        return await within(storeWaitMs, amendAccount(this.store, key, next));
      } catch (error) {
        this.storeAwayUntil = performance.now() + storePauseMs;
        this.log.warn("the store is away: limits hold for this gateway alone", { reason: String(error) });
      }
    return amendAccount(this.own, key, next);
  }

  private inTurn(key: Key, task: () => Promise<void>): Promise<void> {
    const before = this.turns.get(key.id) ?? Promise.resolve();
    const done = before.then(task, task);
    this.turns.set(key.id, done);
    const forget = () => {
      if (this.turns.get(key.id) === done) this.turns.delete(key.id);
    };
    void done.then(forget, forget);
    return done;
  }
}

type Change<T> = (account: Account) => { account: Account | undefined; result: T };

function amendAccount<T>(store: Store, key: Key, next: Change<T>): Promise<T> {
  const change = (value: string | undefined) => {
    const { account, result } = next(value === undefined ? emptyAccount : (JSON.parse(value) as Account));
    return { value: account && JSON.stringify(account), result };
  };
  return amend(store, accountPrefix + key.id, change, { ttlMs: lifetimeMs(key) });
}

function refused(key: Key, { reason, retryAfterS }: { reason: LimitReason; retryAfterS: number }) {
  const figure = key[reason]!;
  const limits: Record<LimitReason, string> = {
    requests_per_min: `${figure} requests a minute`,
    tokens: `${figure} tokens in ${key.window_s} s`,
    concurrency: `${figure} requests at the same time`,
  };
  const message = `Rate limit reached: this API key may have ${limits[reason]}. Please try again in ${retryAfterS}s.`;
  return new GatewayError("rate_limit_exceeded", message, null, { retryAfterS });
}
