// Who may come in: a model runs so many requests at once and lets so many wait, of so many tokens, and of one principal
// so many in all. Counted where requests arrive, so that one too many is refused before any work is done for it.
import { EngineError } from "../errors.ts";
import { retryAfterSeconds } from "./scheduler.ts";

export interface AdmissionLimits {
  /** Requests that run at once. */
  slots: number;
  /** Requests that may wait beside those. */
  maxQueue: number;
  /** Prompt tokens that may wait; a request behind fewer may come in, however long it is. Default: no limit. */
  maxQueueTokens?: number | undefined;
  /** Requests of one principal, running and waiting; default: no limit. */
  maxPerPrincipal?: number | undefined;
}

/** A request's place; `leave` gives it back. Both may be called more than once. */
export interface Seat {
  /** It no longer waits. */
  started(): void;
  leave(): void;
}

interface Guest {
  principal: string;
  tokens: number;
  /** When it began to run, ms. */
  since: number | undefined;
}

/** Those whom nobody names are one principal. */
const nobody = "";
/** Of a new figure in the average. */
const weight = 0.3;
/** What callers are told to wait at most, s. */
const longest = 120;

export class Admission {
  readonly #limits: { [K in keyof AdmissionLimits]-?: number };
  readonly #now: () => number;
  readonly #waiting = new Set<Guest>();
  readonly #running = new Set<Guest>();
  readonly #principals = new Map<string, number>();
  #waitingTokens = 0;
  /** How long a request runs, s, on average. */
  #service: number | undefined;

  constructor(limits: AdmissionLimits, now: () => number = () => performance.now()) {
    const { maxQueueTokens = Infinity, maxPerPrincipal = Infinity } = limits;
    this.#limits = { ...limits, maxQueueTokens, maxPerPrincipal };
    this.#now = now;
  }

  get load(): { running: number; waiting: number; waitingTokens: number } {
    return {
      running: this.#running.size,
      waiting: this.#waiting.size,
      waitingTokens: this.#waitingTokens,
    };
  }

  /** Principals that have requests here. */
  get principals(): number {
    return this.#principals.size;
  }

  /**
   * Errors, with `retryAfter`, s, by the pace at which requests ended so far: rate_limit_exceeded where the principal has
   * its share; queue_full where a request that came now would wait behind too many requests or tokens.
   */
  check(principal = nobody): void {
    const { slots, maxQueue, maxQueueTokens, maxPerPrincipal } = this.#limits;
    const here = this.#running.size + this.#waiting.size;
    const waiting = Math.max(0, here - slots);
    const retryAfter = this.#retryAfter(waiting);
    const own = this.#principals.get(principal) ?? 0;
    if (own >= maxPerPrincipal) {
      const who = principal === nobody ? "callers without a name" : `"${principal}"`;
      const text = `${who} may have ${maxPerPrincipal} requests at this model, and ${own} are there`;
      throw new EngineError("rate_limit_exceeded", text, { limit: maxPerPrincipal, retryAfter });
    }
    if (here >= slots + maxQueue) {
      const text = `${waiting} requests are waiting for this model already`;
      throw new EngineError("queue_full", text, { waiting, limit: maxQueue, retryAfter });
    }
    if (here >= slots && this.#waitingTokens >= maxQueueTokens) {
      const text = `requests of ${this.#waitingTokens} tokens are waiting for this model already`;
      throw new EngineError("queue_full", text, { waiting, limit: maxQueueTokens, retryAfter });
    }
  }

  /** Takes a place for a prompt of so many tokens, or throws as `check` does. */
  enter(tokens: number, principal = nobody): Seat {
    this.check(principal);
    const guest: Guest = { principal, tokens, since: undefined };
    this.#waiting.add(guest);
    this.#waitingTokens += tokens;
    this.#principals.set(principal, (this.#principals.get(principal) ?? 0) + 1);
    return {
      started: () => {
        this.#start(guest);
      },
      leave: () => {
        this.#leave(guest);
      },
    };
  }

  #start(guest: Guest): void {
    if (!this.#waiting.delete(guest)) return;
    this.#waitingTokens -= guest.tokens;
    this.#running.add(guest);
    guest.since = this.#now();
  }

  #leave(guest: Guest): void {
    if (this.#waiting.delete(guest)) this.#waitingTokens -= guest.tokens;
    else if (this.#running.delete(guest)) this.#served((this.#now() - guest.since!) / 1000);
    else return;
    const left = this.#principals.get(guest.principal)! - 1;
    if (left > 0) this.#principals.set(guest.principal, left);
    else this.#principals.delete(guest.principal);
  }

  #served(seconds: number): void {
    this.#service = this.#service === undefined ? seconds : (1 - weight) * this.#service + weight * seconds;
  }

  /** When those who wait are likely to run: `slots` of them in the time that a request takes. */
  #retryAfter(waiting: number): number {
    if (this.#service === undefined) return retryAfterSeconds(waiting);
    const rounds = Math.floor(waiting / this.#limits.slots) + 1;
    return Math.min(longest, Math.max(1, Math.ceil(rounds * this.#service)));
  }
}
