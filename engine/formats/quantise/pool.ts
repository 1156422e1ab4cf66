// Conversions on worker threads. Rows do not depend on one another, so what comes back is the same to the byte
// however many threads there are; only its order is free.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { fromPlainError, type PlainError } from "../../errors.ts";
import { convert, convertedBytes, type Conversion } from "./convert.ts";

export interface Converter {
  /** How many conversions run at once; more may be asked for and wait. */
  readonly width: number;
  /**
   * Hands the rows to `use`, which has them until it returns. Those of the job may be changed once this has returned.
   * Errors: as `convert`; what `use` throws; a plain Error when a thread dies or after `close`.
   */
  convert(job: Conversion, use: (rows: Uint8Array) => void): Promise<void>;
  /** Idempotent; what still runs fails. */
  close(): Promise<void>;
}

/** Without threads: for tests, and for little. */
export const serialConverter: Converter = {
  width: 1,
  convert: async (job, use) => use(convert(job)),
  close: () => Promise.resolve(),
};

/** A core is left to the thread that reads and uploads. */
function usefulThreads(): number {
  return Math.min(16, Math.max(1, availableParallelism() - 1));
}

/** All rows lie in shared memory. */
export interface ToThread {
  readonly job: Conversion;
  readonly out: Uint8Array;
}

export interface FromThread {
  readonly error?: PlainError;
}

interface Waiting extends ToThread {
  readonly memory: Memory;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Of one conversion at a time. Memory that is handed from thread to thread instead counts as new wherever it comes, and
 * sets off a collection every few chunks, which took as long as the repacking (bench/LOG.md).
 */
class Memory {
  #shared = new SharedArrayBuffer(0);

  /** Places of so many bytes, with anything in them. */
  places(...bytes: readonly number[]): Uint8Array[] {
    const starts = bytes.map((_, i) => bytes.slice(0, i).reduce((sum, each) => sum + roundedUp(each), 0));
    const end = bytes.reduce((sum, each) => sum + roundedUp(each), 0);
    if (this.#shared.byteLength < end)
      this.#shared = new SharedArrayBuffer(Math.ceil(end / 2 ** 20) * 2 ** 20);
    return starts.map((at, i) => new Uint8Array(this.#shared, at, bytes[i]));
  }
}

/** So that each place begins on a word. */
function roundedUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
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
  /** Of no use at the moment. */
  readonly #memories: Memory[] = [];
  #closed = false;

  constructor(width: number) {
    this.width = width;
  }

  async convert(job: Conversion, use: (rows: Uint8Array) => void): Promise<void> {
    if (this.#closed) throw new Error("the converter is closed");
    const memory = this.#memories.pop() ?? new Memory();
    const shared = inShared(memory, job);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ ...shared, memory, resolve, reject });
      this.#next();
    });
    use(shared.out);
    this.#memories.push(memory);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const threads = [...this.#idle.splice(0), ...this.#busy.keys()];
    for (const { reject } of [...this.#waiting.splice(0), ...this.#busy.values()]) {
      reject(new Error("the converter was closed"));
    }
    this.#busy.clear();
    this.#memories.length = 0;
    await Promise.all(threads.map((thread) => thread.terminate()));
  }

  #next(): void {
    const grow = this.#idle.length === 0 && this.#busy.size < this.width;
    const thread =
      this.#waiting.length > 0 ? (this.#idle.pop() ?? (grow ? this.#start() : undefined)) : undefined;
    if (!thread) return;
    const work = this.#waiting.shift()!;
    this.#busy.set(thread, work);
    thread.postMessage({ job: work.job, out: work.out } satisfies ToThread);
  }

  #start(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const thread = new Worker(new URL(file, import.meta.url), { name: "convert" });
    thread.on("message", (answer: FromThread) => {
      const work = this.#busy.get(thread);
      if (!work) return;
      this.#busy.delete(thread);
      this.#idle.push(thread);
      if (answer.error) work.reject(fromPlainError(answer.error));
      else work.resolve();
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

function inShared(memory: Memory, job: Conversion): ToThread {
  const { rows, between } = job;
  const [own, other, out] = memory.places(rows.length, between?.rows.length ?? 0, convertedBytes(job));
  own!.set(rows);
  if (!between) return { job: { ...job, rows: own! }, out: out! };
  other!.set(between.rows);
  return { job: { ...job, rows: own!, between: { from: between.from, rows: other! } }, out: out! };
}
