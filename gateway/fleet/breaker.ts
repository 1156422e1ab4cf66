// Whether a neuron is worth asking, by how its last requests went. Pure but for the clock that it is given.
//   closed     everything goes there; so many failures in a row open it
//   open       nothing goes there for a pause, which doubles each time
//   half open  the pause is over: one request may try; if it succeeds the breaker is closed, if not, open again
// A failure is what shows that the neuron is ill: no connection, no valid answer, broken off, too late. That it is full,
// or that a request was wrong, shows that it is well.

export interface BreakerOptions {
  /** Failures in a row. */
  failures: number;
  pauseMs: number;
  longestPauseMs: number;
}

export type BreakerState = "closed" | "open" | "half_open";

interface Circuit {
  failures: number;
  /** How often it opened since it was last closed. */
  trips: number;
  /** Of the pause's end; -Infinity while closed. */
  until: number;
  /** The request that tries, when it was sent. */
  triedAt: number | undefined;
}

/** A trial that nobody hears of any more is over by then. */
const longestTrialMs = 60_000;

export class Breakers {
  private readonly circuits = new Map<string, Circuit>();
  /** May be changed while in use. */
  readonly options: BreakerOptions;
  private readonly now: () => number;

  constructor(options: BreakerOptions, now: () => number) {
    this.options = options;
    this.now = now;
  }

  stateOf(name: string): BreakerState {
    const { trips = 0, until = 0 } = this.circuits.get(name) ?? {};
    if (trips === 0) return "closed";
    return this.now() < until ? "open" : "half_open";
  }

  /** The neurons, of these, that must not be asked now. */
  shut(names: readonly string[]): string[] {
    return names.filter((name) => {
      const state = this.stateOf(name);
      if (state !== "half_open") return state === "open";
      const { triedAt } = this.circuits.get(name)!;
      return triedAt !== undefined && this.now() - triedAt < longestTrialMs;
    });
  }

  /** A request goes there. */
  sent(name: string): void {
    if (this.stateOf(name) === "half_open") this.circuits.get(name)!.triedAt = this.now();
  }

  /** True when that closed it. */
  succeeded(name: string): boolean {
    const wasOpen = this.stateOf(name) !== "closed";
    this.circuits.delete(name);
    return wasOpen;
  }

  /** True when that opened it. */
  failed(name: string): boolean {
    const { failures, trips } = this.circuits.get(name) ?? closed;
    const state = this.stateOf(name);
    if (state === "open") return false; // one that was sent before
    const opens = state === "half_open" || failures + 1 >= this.options.failures;
    const { pauseMs, longestPauseMs } = this.options;
    const until = this.now() + Math.min(pauseMs * 2 ** trips, longestPauseMs);
    this.circuits.set(
      name,
      opens
        ? { failures: 0, trips: trips + 1, until, triedAt: undefined }
        : { ...closed, failures: failures + 1 },
    );
    return opens;
  }

  /** It ended in a way that tells nothing: the client went away. */
  dropped(name: string): void {
    const circuit = this.circuits.get(name);
    if (circuit) circuit.triedAt = undefined;
  }

  forget(name: string): void {
    this.circuits.delete(name);
  }
}

const closed: Circuit = { failures: 0, trips: 0, until: -Infinity, triedAt: undefined };
