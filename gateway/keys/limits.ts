// What a key may do, and what it has done: an account, and how requests change it. Pure; every change is one value made
// of another, so that gateways which share accounts need nothing but compare-and-set.
//   requests a minute: a bucket of that many, refilled one by one (the "virtual scheduling" form: one time is kept)
//   tokens: charged when an answer has ended, so a key may go over by what it has running; `concurrency` bounds that
//   concurrency: each gateway says how many it has running and until when that is to be believed, so that those of a
//   gateway that died are forgotten
// Times are Date.now(): they are shared by several hosts. A time too far ahead comes of a clock that was set, and is not
// believed.

import type { Key } from "./keys.ts";

export type Limits = Pick<Key, "requests_per_min" | "tokens" | "window_s" | "concurrency">;

export interface Account {
  /** When the bucket of requests is full again. */
  fullAt: number;
  window: { start: number; used: number };
  /** By gateway. */
  running: Readonly<Record<string, { count: number; until: number }>>;
}

export type LimitReason = "requests_per_min" | "tokens" | "concurrency";

export type Admission =
  { kind: "admitted"; account: Account } | { kind: "refused"; reason: LimitReason; retryAfterS: number };

/** How many requests one gateway has running for the key. */
export interface Running {
  gateway: string;
  count: number;
}

const minuteMs = 60_000;
/** How long a gateway's word on what it has running holds. */
export const leaseMs = 60_000;
/** When one of the running requests may have ended: nobody knows, so clients are asked to look again soon. */
const soonS = 2;

export const emptyAccount: Account = { fullAt: 0, window: { start: 0, used: 0 }, running: {} };

/** One request more of `limits`' key, at a gateway that has `own` running without it. */
export function admit(account: Account, limits: Limits, own: Running, now: number): Admission {
  const { requests_per_min, tokens, window_s = 0, concurrency = Infinity } = limits;
  const live = liveOf(account, own.gateway, now);
  const others = Object.values(live).reduce((sum, { count }) => sum + count, 0);
  if (others + own.count >= concurrency) return refused("concurrency", soonS * 1000);
  const window = windowAt(account, window_s * 1000, now);
  if (tokens !== undefined && window.used >= tokens)
    return refused("tokens", window.start + window_s * 1000 - now);
  const believed = account.fullAt > now + 2 * minuteMs ? now : account.fullAt;
  const fullAt = Math.max(believed, now) + (requests_per_min === undefined ? 0 : minuteMs / requests_per_min);
  if (fullAt > now + minuteMs) return refused("requests_per_min", fullAt - now - minuteMs);
  const running = { ...live, [own.gateway]: { count: own.count + 1, until: now + leaseMs } };
  return { kind: "admitted", account: { fullAt, window, running } };
}

/** A request has ended and has cost so many tokens; `own` is without it. Zero tokens renew the lease. */
export function charge(account: Account, limits: Limits, own: Running, tokens: number, now: number): Account {
  const window = windowAt(account, (limits.window_s ?? 0) * 1000, now);
  const live = liveOf(account, own.gateway, now);
  const mine = own.count > 0 ? { [own.gateway]: { count: own.count, until: now + leaseMs } } : {};
  return {
    fullAt: account.fullAt,
    window: { start: window.start, used: window.used + tokens },
    running: { ...live, ...mine },
  };
}

/** How long an account has something to tell. */
export function lifetimeMs({ window_s = 0 }: Limits): number {
  return Math.max(window_s * 1000, 2 * minuteMs, leaseMs) + minuteMs;
}

export function isLimited(limits: Limits): boolean {
  return [limits.requests_per_min, limits.tokens, limits.concurrency].some((limit) => limit !== undefined);
}

/** What other gateways have running. */
function liveOf({ running }: Account, own: string, now: number): Account["running"] {
  const entries = Object.entries(running).filter(
    ([gateway, { until }]) => gateway !== own && until > now && until <= now + 2 * leaseMs,
  );
  return Object.fromEntries(entries);
}

/** The window that `now` is in; a new one begins with the first request after the old. */
function windowAt({ window }: Account, lengthMs: number, now: number): Account["window"] {
  if (now >= window.start + lengthMs) return { start: now, used: 0 };
  return { start: Math.min(window.start, now), used: window.used };
}

function refused(reason: LimitReason, waitMs: number): Admission {
  return { kind: "refused", reason, retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)) };
}
