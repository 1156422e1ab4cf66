// How often and how fast a device that was lost is opened again: at once the first time, then with growing pauses, and
// not for ever. A device that fails again and again helps nobody, and may take its host's display with it.

export interface RestartLimits {
  /** Pause before the first, second, … attempt within the window, ms; one more failure and it is given up. */
  delaysMs: readonly number[];
  /** A failure is forgotten after this time, ms. */
  windowMs: number;
}

export const defaultRestarts: RestartLimits = {
  delaysMs: [0, 1_000, 5_000, 15_000, 30_000],
  windowMs: 600_000,
};

export class Restarts {
  readonly #limits: RestartLimits;
  #failures: number[] = [];

  constructor(limits: RestartLimits = defaultRestarts) {
    this.#limits = limits;
  }

  /** Notes a failure at `now`, ms; the pause before the next attempt, or undefined where it is to be given up. */
  failed(now: number): number | undefined {
    this.#failures = this.#failures.filter((at) => now - at < this.#limits.windowMs);
    this.#failures.push(now);
    return this.#limits.delaysMs[this.#failures.length - 1];
  }

  /** Somebody wants another try. */
  forget(): void {
    this.#failures = [];
  }
}
