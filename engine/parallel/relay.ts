// From the device that has a model's first layers to the one that has the next, and from the last back to the first: a
// line for each, through memory that their threads share. Each has two places, so that a device may be one ahead of the
// one that hears it.
import { EngineError } from "../errors.ts";
import type { Relay } from "../gpu/handovers.ts";
import { waitForChange } from "./wait.ts";

/** What the stages of one model share; plain data that can cross to a worker. */
export interface Ring {
  readonly stages: number;
  /** Most values that are handed over at once. */
  readonly capacity: number;
  /** [bell, 1 + stage that failed or 0, then of each stage what it has sent, and what of that was received] */
  readonly control: SharedArrayBuffer;
  /** [stages, 2, capacity] */
  readonly values: SharedArrayBuffer;
}

/** `capacity`: hidden size times most tokens of a run. */
export function createRing(stages: number, capacity: number): Ring {
  return {
    ...{ stages, capacity },
    control: new SharedArrayBuffer(4 * (2 + 2 * stages)),
    values: new SharedArrayBuffer(2 * 4 * stages * capacity),
  };
}

const [bell, failed, counts] = [0, 1, 2];
const places = 2;

/** How often a stage handed something over, and how long it waited for others, ms. */
export interface RelayTimes {
  sent: number;
  received: number;
  waitingMs: number;
}

/** One stage's end. */
export class SharedRelay implements Relay {
  readonly stage: number;
  readonly times: RelayTimes = { sent: 0, received: 0, waitingMs: 0 };
  readonly #ring: Ring;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #limitMs: number;

  /** `limitMs`: how long another may be waited for. */
  constructor(ring: Ring, stage: number, limitMs = 60_000) {
    this.stage = stage;
    this.#ring = ring;
    this.#control = new Int32Array(ring.control);
    this.#limitMs = limitMs;
  }

  /** To the next stage; from the last, to the first. Errors: device_lost when one has failed or does not come in time. */
  async send(values: Float32Array, to: number): Promise<void> {
    this.#expectNext(this.stage, to);
    const [sent, received] = wordsOf(this.stage);
    await this.#until(to, () => ((this.#load(sent) - this.#load(received)) | 0) < places);
    this.#place(this.stage, this.#load(sent), values.length).set(values);
    this.times.sent += 1;
    this.#count(sent);
  }

  /** Errors: as of `send`. */
  async receive(out: Float32Array, from: number): Promise<void> {
    this.#expectNext(from, this.stage);
    const [sent, received] = wordsOf(from);
    await this.#until(from, () => ((this.#load(sent) - this.#load(received)) | 0) > 0);
    out.set(this.#place(from, this.#load(received), out.length));
    this.times.received += 1;
    this.#count(received);
  }

  /** Lets all know that a stage, this one unless another is named, will not come again. */
  fail(stage = this.stage): void {
    Atomics.compareExchange(this.#control, failed, 0, 1 + stage);
    this.#ringBell();
  }

  #expectNext(from: number, to: number): void {
    const { stages } = this.#ring;
    if (to !== (from + 1) % stages) throw new Error(`from stage ${from} to ${to} of ${stages}`);
  }

  #load(word: number): number {
    return Atomics.load(this.#control, word);
  }

  #count(word: number): void {
    Atomics.add(this.#control, word, 1);
    this.#ringBell();
  }

  #ringBell(): void {
    Atomics.add(this.#control, bell, 1);
    Atomics.notify(this.#control, bell);
  }

  #place(line: number, call: number, length: number): Float32Array {
    const { capacity, values } = this.#ring;
    if (length > capacity) throw new Error(`${length} values to hand over; there is room for ${capacity}`);
    return new Float32Array(values, 4 * capacity * (places * line + (call & 1)), length);
  }

  async #until(other: number, ready: () => boolean): Promise<void> {
    const begun = performance.now();
    for (;;) {
      const heard = this.#load(bell); // ahead of what it tells of, so that no change is missed
      const broken = this.#load(failed);
      if (broken !== 0) throw this.#lost(broken - 1, "failed");
      if (ready()) break;
      const left = begun + this.#limitMs - performance.now();
      if (left <= 0) {
        this.fail(other);
        throw this.#lost(other, `did not come in ${this.#limitMs} ms`);
      }
      await waitForChange(this.#control, bell, heard, left);
    }
    this.times.waitingMs += performance.now() - begun;
  }

  #lost(stage: number, what: string): EngineError {
    const text = `stage ${stage} of ${this.#ring.stages} ${what}`;
    return new EngineError("device_lost", text, { failedRank: stage });
  }
}

/** The counts of a line, which is known by who sends. */
function wordsOf(line: number): [sent: number, received: number] {
  return [counts + 2 * line, counts + 2 * line + 1];
}
