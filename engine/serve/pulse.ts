// Whether a device's thread comes forward. A thread that is stuck, in a driver or in a loop of its own, can tell nobody:
// so it counts its steps in memory that both sides see, and the other side looks there from time to time.

/** Words of the shared memory: steps under way, and steps that began or ended since the start (it may wrap). */
const [active, progress] = [0, 1];

export type PulseMemory = SharedArrayBuffer;

export function pulseMemory(): PulseMemory {
  return new SharedArrayBuffer(8);
}

/** The thread's side. */
export class Pulse {
  readonly #words: Int32Array;

  constructor(memory: PulseMemory = pulseMemory()) {
    this.#words = new Int32Array(memory);
  }

  /** Runs a step: work that must end within the watchdog's limit. Steps may overlap. */
  async beat<T>(step: () => Promise<T>): Promise<T> {
    this.#count(1);
    try {
      return await step();
    } finally {
      this.#count(-1);
    }
  }

  #count(change: 1 | -1): void {
    Atomics.add(this.#words, active, change);
    Atomics.add(this.#words, progress, 1);
  }
}

/** What was last seen of a pulse. */
export interface Sighting {
  progress: number;
  /** When that was seen first, ms. */
  since: number;
}

/** For how long, ms, the thread has been in a step without beginning or ending any; 0 where it is in none. */
export function stuckFor(memory: PulseMemory, last: Sighting, now: number): number {
  const words = new Int32Array(memory);
  const seen = Atomics.load(words, progress);
  if (seen !== last.progress || Atomics.load(words, active) === 0) {
    last.progress = seen;
    last.since = now;
    return 0;
  }
  return now - last.since;
}

/** Calls `stuck` once, when a step has taken longer than the limit, give or take an eighth. Returns the way to end it. */
export function watchPulse(memory: PulseMemory, limitMs: number, stuck: () => void): () => void {
  const last: Sighting = { progress: 0, since: performance.now() };
  const timer = setInterval(() => {
    if (stuckFor(memory, last, performance.now()) <= limitMs) return;
    clearInterval(timer);
    stuck();
  }, limitMs / 8).unref();
  return () => {
    clearInterval(timer);
  };
}
