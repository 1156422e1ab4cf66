// One life of a device's thread, from its start to its end. How it ends is delicate: a thread that is terminated while
// Dawn still owes it a result takes the whole process along. So it is asked to destroy its device first, which settles
// what is owed, and a thread that no longer hears is left alone rather than terminated.
import { Worker } from "node:worker_threads";
import { EngineError } from "../errors.ts";
import { prepareAdapter, type GpuOptions } from "../gpu/adapter.ts";
import type { DeviceReport } from "../gpu/report.ts";
import type { TuningOptions } from "../gpu/tuning.ts";
import type { Fault } from "./faults.ts";
import { DeviceLink, type LinkPort } from "./link.ts";
import type { FromWorker, ThreadData } from "./messages.ts";
import { pulseMemory, watchPulse, type PulseMemory } from "./pulse.ts";

export interface ThreadOptions {
  gpu: GpuOptions;
  tuning: TuningOptions;
  faults: readonly Fault[];
  /** Longest step, ms, by the device's kind. */
  stepLimitMs: Readonly<Record<DeviceReport["kind"], number>>;
  /** Longest time without progress of a load, ms. */
  loadLimitMs: Readonly<Record<DeviceReport["kind"], number>>;
  /** For all of its lives the device must be this one. */
  expected?: DeviceReport | undefined;
  /** Default: a worker. */
  spawn?: Spawn | undefined;
}

/** A worker, or what stands for one. */
export interface Thread extends LinkPort {
  on(event: "message", hear: (message: FromWorker) => void): unknown;
  on(event: "error", hear: (error: Error) => void): unknown;
  on(event: "exit", hear: (code: number) => void): unknown;
  terminate(): Promise<unknown>;
  unref(): void;
}

/** Starts a thread that serves a device. */
export type Spawn = (data: ThreadData) => Thread;

/** How long a thread may take to end its jobs, and to destroy its device, ms. */
const closeLimitMs = 5_000;
const abandonLimitMs = 10_000;

export class DeviceThread {
  readonly link: DeviceLink;
  readonly report: DeviceReport;
  readonly #worker: Thread;
  readonly #unwatch: () => void;

  constructor(worker: Thread, link: DeviceLink, report: DeviceReport, unwatch: () => void) {
    this.#worker = worker;
    this.link = link;
    this.report = report;
    this.#unwatch = unwatch;
  }

  /** Lets jobs end and frees the device. */
  async close(): Promise<void> {
    if (this.link.failure) return this.abandon();
    this.#unwatch();
    if (await within(this.link.close(), closeLimitMs)) await this.#worker.terminate();
    else await this.abandon();
  }

  /** Ends it whatever it does, if it still can be ended. */
  async abandon(): Promise<void> {
    this.#unwatch();
    await endWorker(this.#worker, this.link);
  }
}

/** Starts the thread and waits until its device is open. Errors: no_adapter; device_lost where the thread fails. */
export async function startThread(options: ThreadOptions): Promise<DeviceThread> {
  const choice = await prepareAdapter(options.gpu);
  const { expected } = options;
  if (expected && choice.name !== expected.name) {
    throw new EngineError(
      "no_adapter",
      `${expected.name} has gone; what answers in its place is ${choice.name}`,
    );
  }
  const [pulse, loadPulse] = [pulseMemory(), pulseMemory()];
  const { faults, loadLimitMs, tuning, spawn = spawnWorker } = options;
  const worker = spawn({ choice, pulse, loadPulse, loadLimitMs, faults, tuning });
  const link = new DeviceLink(worker);
  worker.on("error", (error) => {
    const text = `the device's thread failed: ${error.message}`;
    link.fail(new EngineError("device_lost", text, {}, { cause: error }));
  });
  worker.on("exit", (code) => {
    link.fail(new EngineError("device_lost", `the device's thread ended with code ${code}`));
    link.ended();
  });
  try {
    const report = await link.opened;
    const watch = (memory: PulseMemory, limitMs: number, what: string) =>
      watchPulse(memory, limitMs, () => {
        link.fail(new EngineError("device_lost", `${report.name}: ${what} ${limitMs / 1000} s`));
      });
    const steps = watch(pulse, options.stepLimitMs[report.kind], "a step did not end within");
    // The thread itself ends a load that gives nothing; here it is the thread that gives nothing while it loads.
    const loads = watch(loadPulse, loadLimitMs[report.kind], "its thread was stuck in a load for");
    return new DeviceThread(worker, link, report, () => {
      steps();
      loads();
    });
  } catch (error) {
    await endWorker(worker, link);
    throw error;
  }
}

function spawnWorker(workerData: ThreadData): Worker {
  const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
  const name = `device ${workerData.choice.index}`;
  return new Worker(new URL(file, import.meta.url), { workerData, name });
}

async function endWorker(worker: Thread, link: DeviceLink): Promise<void> {
  if (await within(link.abandon(), abandonLimitMs)) await worker.terminate();
  else leave(worker);
}

/** Whether it settled in time. */
async function within(work: Promise<void>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<false>((resolve) => (timer = setTimeout(resolve, limitMs, false)));
  try {
    return await Promise.race([work.then(() => true), limit]);
  } finally {
    clearTimeout(timer);
  }
}

let someLeft = false;

/** A process whose thread hangs in a driver cannot exit by itself: it would wait for the thread. */
function leave(worker: Thread): void {
  worker.unref();
  if (someLeft) return;
  someLeft = true;
  process.once("exit", () => process.kill(process.pid, "SIGKILL"));
}
