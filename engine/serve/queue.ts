// A bounded first-come queue for one seat: requests on a model must not interleave their cache.
import { EngineError } from "../errors.ts";

export class Turnstile {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** `limit`: how many may wait beside the one that runs. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get load(): { running: number; waiting: number } {
    return { running: this.#running, waiting: this.#waiting.length };
  }

  /** Takes a place at once or throws queue_full; the place must be passed to `enter`. */
  admit(): void {
    if (this.#running > 0 && this.#waiting.length >= this.#limit) {
      const text = `${this.#waiting.length} requests are waiting for this model already`;
      throw new EngineError("queue_full", text, { waiting: this.#waiting.length, limit: this.#limit });
    }
  }

  /** Resolves with the function that gives the seat back. A raised signal leaves the queue and throws cancelled. */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw cancelled();
    if (this.#running === 0) this.#running = 1;
    else await this.#wait(signal);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running = 0;
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const seated = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(seated), 1);
        reject(cancelled());
      };
      this.#waiting.push(seated);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}

function cancelled(): EngineError {
  return new EngineError("cancelled", "the request was cancelled while it waited");
}
