// Conversions on worker threads. Rows do not depend on one another, so what comes back is the same to the byte
// however many threads there are; only its order is free.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { fromPlainError, type PlainError } from "../../errors.ts";
import { convert, type Conversion } from "./convert.ts";

export interface Converter {
  /** How many conversions run at once; more may be asked for and wait. */
  readonly width: number;
  /**
   * Takes the rows along: their buffer cannot be used afterwards.
   * Errors: as `convert`; a plain Error when a thread dies or after `close`.
   */
  convert(job: Conversion): Promise<Uint8Array<ArrayBuffer>>;
  /** Idempotent; what still runs fails. */
  close(): Promise<void>;
}

/** Without threads: for tests, and for little. */
export const serialConverter: Converter = {
  width: 1,
  convert: (job) => new Promise((resolve) => resolve(convert(job))),
  close: () => Promise.resolve(),
};

/** A core is left to the thread that reads and uploads. */
export function usefulThreads(): number {
  return Math.min(16, Math.max(1, availableParallelism() - 1));
}

export type FromThread = { rows: Uint8Array<ArrayBuffer> } | { error: PlainError };

interface Waiting {
  readonly job: Conversion;
  resolve(rows: Uint8Array<ArrayBuffer>): void;
  reject(error: Error): void;
}

/** Threads are started when there is work for them. */
export function openConverter(threads = usefulThreads()): Converter {
  return new Pool(threads);
}

class Pool implements Converter {
  readonly width: number;
  readonly #waiting: Waiting[] = [];
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Waiting>();
  #closed = false;

  constructor(width: number) {
    this.width = width;
  }

  convert(job: Conversion): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#closed) return Promise.reject(new Error("the converter is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const threads = [...this.#idle.splice(0), ...this.#busy.keys()];
    for (const { reject } of [...this.#waiting.splice(0), ...this.#busy.values()]) {
      reject(new Error("the converter was closed"));
    }
    this.#busy.clear();
    await Promise.all(threads.map((thread) => thread.terminate()));
  }

  #next(): void {
    const grow = this.#idle.length === 0 && this.#busy.size < this.width;
    const thread =
      this.#waiting.length > 0 ? (this.#idle.pop() ?? (grow ? this.#start() : undefined)) : undefined;
    if (!thread) return;
    const work = this.#waiting.shift()!;
    this.#busy.set(thread, work);
    thread.postMessage(work.job, [work.job.rows.buffer]);
  }

  #start(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const thread = new Worker(new URL(file, import.meta.url), { name: "convert" });
    thread.on("message", (answer: FromThread) => {
      const work = this.#busy.get(thread);
      if (!work) return;
      this.#busy.delete(thread);
      this.#idle.push(thread);
      if ("rows" in answer) work.resolve(answer.rows);
      else work.reject(fromPlainError(answer.error));
      this.#next();
    });
    thread.on("error", (error) => {
      this.#busy
        .get(thread)
        ?.reject(new Error(`a converting thread failed: ${error.message}`, { cause: error }));
      this.#busy.delete(thread);
      this.#next();
    });
    return thread;
  }
}
