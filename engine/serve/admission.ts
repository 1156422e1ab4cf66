// Who may come in: a model runs so many requests at once and lets so many wait. Counted where requests arrive, so that
// one too many is refused before any work is done for it.
import { EngineError } from "../errors.ts";
import { retryAfterSeconds } from "./scheduler.ts";

/** A request's place; `leave` gives it back. Both may be called more than once. */
export interface Seat {
  /** It no longer waits. */
  started(): void;
  leave(): void;
}

export class Admission {
  readonly #slots: number;
  readonly #maxQueue: number;
  readonly #waiting = new Set<Seat>();
  readonly #running = new Set<Seat>();

  constructor({ slots, maxQueue }: { slots: number; maxQueue: number }) {
    this.#slots = slots;
    this.#maxQueue = maxQueue;
  }

  get load(): { running: number; waiting: number } {
    return { running: this.#running.size, waiting: this.#waiting.size };
  }

  /** Errors: queue_full where a request that came now would wait behind `maxQueue` others. */
  check(): void {
    const here = this.#running.size + this.#waiting.size;
    if (here < this.#slots + this.#maxQueue) return;
    const waiting = here - this.#slots;
    const text = `${waiting} requests are waiting for this model already`;
    const retryAfter = retryAfterSeconds(waiting);
    throw new EngineError("queue_full", text, { waiting, limit: this.#maxQueue, retryAfter });
  }

  /** Takes a place, or throws as `check` does. */
  enter(): Seat {
    this.check();
    const seat: Seat = {
      started: () => {
        if (this.#waiting.delete(seat)) this.#running.add(seat);
      },
      leave: () => {
        this.#waiting.delete(seat);
        this.#running.delete(seat);
      },
    };
    this.#waiting.add(seat);
    return seat;
  }
}
