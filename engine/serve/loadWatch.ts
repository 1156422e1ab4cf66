// Whether a load comes forward. A disk that answers no more, a compiler that never ends and a device that hangs look
// alike from outside: nothing happens. So a load tells what it waits for, and when nothing has come of any of it for too
// long it is given up with that as the reason. What comes back later finds the load gone, and ends there.
import { EngineError } from "../errors.ts";
import type { TensorSource } from "../formats/checkpoint.ts";
import type { Converter } from "../formats/quantise/pool.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { kernelsOf } from "../gpu/kernel.ts";
import type { Pulse } from "./pulse.ts";

/** How often it looks, of the limit. */
const looks = 8;

export interface LoadWatchOptions {
  /** The longest time without anything coming forward, ms. */
  limitMs: number;
  /** What a message calls the load. */
  name: string;
  /** Whose kernels compile meanwhile. */
  gpu: Gpu;
  /** Beaten at every look: that of a thread which is stuck itself stays away. */
  pulse: Pulse;
  /** For tests: what each piece that was read waits for. */
  onRead?: () => Promise<void>;
}

/** What a load tells of itself. */
export type Watch = Pick<LoadWatch, "during" | "guard" | "begin" | "arrived" | "error" | "end">;

/** Nobody looks, and nothing is given up. */
export const unwatched: Watch = {
  during: (_, work) => work,
  guard: (work) => work,
  begin: () => () => undefined,
  arrived: () => Promise.resolve(),
  error: undefined,
  end: () => undefined,
};

export class LoadWatch {
  readonly #options: LoadWatchOptions;
  /** What is waited for, the longest first. */
  readonly #doing = new Set<{ what: string }>();
  readonly #stalled: Promise<never>;
  #stall!: (error: EngineError) => void;
  #endBeat!: () => void;
  #error: EngineError | undefined;
  #steps = 0;
  /** What was seen at the last look, and how many looks have seen the same. */
  #seen = { steps: 0, looks: 0 };
  readonly #timer: NodeJS.Timeout;

  constructor(options: LoadWatchOptions) {
    this.#options = options;
    this.#stalled = new Promise((_, reject) => (this.#stall = reject));
    this.#stalled.catch(() => undefined); // whoever waits hears it
    this.#timer = setInterval(() => this.#look(), options.limitMs / looks);
    void options.pulse.beat(() => new Promise<void>((resolve) => (this.#endBeat = resolve)));
  }

  /** Why it was given up, if so. */
  get error(): EngineError | undefined {
    return this.#error;
  }

  /** Waits for `work`, but no longer than the load goes on. Errors: load_stalled, device_lost. */
  async guard<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#stalled]);
  }

  /** The same for one thing of which a message can say what it is. */
  async during<T>(what: string, work: Promise<T>): Promise<T> {
    const end = this.begin(what);
    try {
      return await this.guard(work);
    } finally {
      end();
      this.forward();
    }
  }

  /** From now on `what` is waited for, until the answer is called. */
  begin(what: string): () => void {
    const one = { what };
    this.#doing.add(one);
    return () => this.#doing.delete(one);
  }

  /** A piece was read. */
  async arrived(): Promise<void> {
    await this.#options.onRead?.();
    this.forward();
  }

  /** Something has come. Throws where the load was given up before. */
  forward(): void {
    this.#steps += 1;
    if (this.#error) throw this.#error;
  }

  /** Ends it for a reason of somebody else's. */
  giveUp(error: EngineError): void {
    if (this.#error) return;
    this.end();
    this.#error = error;
    kernelsOf(this.#options.gpu).forgetUnfinished();
    this.#stall(error);
  }

  /** The load is over, or what is left of it is no longer this thread's. */
  end(): void {
    clearInterval(this.#timer);
    this.#endBeat();
  }

  #look(): void {
    const kernels = kernelsOf(this.#options.gpu);
    const { compiled, compiling } = kernels.progress;
    const steps = this.#steps + compiled;
    void this.#options.pulse.beat(() => Promise.resolve());
    // Looks are counted, not time: on a busy machine this thread, too, comes late.
    this.#seen = { steps, looks: steps === this.#seen.steps ? this.#seen.looks + 1 : 0 };
    if (this.#seen.looks <= looks) return;
    const [reading] = this.#doing;
    this.giveUp(this.#reason(reading?.what ?? (compiling && `compiling ${compiling}`)));
  }

  /** What neither the disk nor the compiler owes is the device's. */
  #reason(what: string | undefined): EngineError {
    const { name, limitMs, gpu } = this.#options;
    const time = `${limitMs / 1000} s`;
    if (what !== undefined)
      return new EngineError("load_stalled", `${name}: given up after ${time} without progress in ${what}`);
    const text = `${gpu.report.name}: it did nothing for ${time} while ${name} was put on it`;
    return new EngineError("device_lost", text);
  }
}

/** A checkpoint whose reading is watched; what is read too late is not handed on. */
export function watchedSource(source: TensorSource, watch: Watch): TensorSource {
  return {
    ...{ format: source.format, quant: source.quant, folder: source.folder },
    has: (name) => source.has(name),
    entry: (name) => source.entry(name),
    expectTensor: (name, shape) => source.expectTensor(name, shape),
    ...(source.readRows && {
      async readRows(name: string, from: number, places: readonly Uint8Array[]) {
        const reading = source.readRows!(name, from, places);
        const arrived = reading.then(() => watch.arrived());
        return watch.during(
          `reading ${name}`,
          arrived.then(() => reading),
        );
      },
    }),
    readF32: (name) => watch.during(`reading ${name}`, source.readF32(name)),
    async stream(name, options, sink) {
      const reading = () => watch.begin(`reading ${name}`);
      let end = reading();
      const streaming = source.stream(name, options, async (chunk, row) => {
        await watch.arrived();
        end(); // what the sink waits for is not the disk
        await sink(chunk, row);
        end = reading();
      });
      await watch.guard(streaming).finally(() => end());
    },
  };
}

/** The same of conversions. */
export function watchedConverter(converter: Converter, watch: Watch): Converter {
  return {
    width: converter.width,
    convert: (job, use) => watch.during(`converting rows to ${job.to}`, converter.convert(job, use)),
    close: () => converter.close(),
  };
}
