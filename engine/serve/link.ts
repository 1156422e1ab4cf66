// The main thread's end of a device's message port: calls become promises, jobs become event streams.
import type { MessagePort } from "node:worker_threads";
import { EngineError, fromPlainError } from "../errors.ts";
import type { DeviceReport } from "../gpu/report.ts";
import type { Vocabulary } from "../grammar/vocabulary.ts";
import type { DeviceModelInfo, FromWorker, ToWorker } from "./messages.ts";
import type { TeamSettings } from "./team/gather.ts";
import type { GenerateEvent, GenerateRequest, LoadOptions, LoadProgress } from "./types.ts";

export interface LoadOrder {
  folder: string;
  options: LoadOptions;
  /** Bytes that other models of the device may use; default: none. */
  promised?: number;
  team?: TeamSettings | undefined;
}

/** A thread, or the port of one. */
export interface LinkPort {
  on(event: "message", hear: (message: FromWorker) => void): unknown;
  postMessage(message: ToWorker, ports: readonly MessagePort[]): void;
}

interface PendingLoad {
  resolve(info: DeviceModelInfo): void;
  reject(error: Error): void;
  onProgress(progress: LoadProgress): void;
}

interface Job {
  push(event: GenerateEvent): void;
  fail(error: Error): void;
}

export class DeviceLink {
  readonly #port: LinkPort;
  readonly #loads = new Map<number, PendingLoad>();
  readonly #unloads = new Map<number, () => void>();
  readonly #jobs = new Map<number, Job>();
  readonly opened: Promise<DeviceReport>;
  readonly closed: Promise<void>;
  /** Hears the first failure, after everybody who waited. */
  onFailure: (error: EngineError) => void = () => undefined;
  #failure: EngineError | undefined;
  #next = 1;
  #onOpened!: { resolve(report: DeviceReport): void; reject(error: Error): void };
  #onClosed!: () => void;

  constructor(port: LinkPort) {
    this.#port = port;
    this.opened = new Promise((resolve, reject) => (this.#onOpened = { resolve, reject }));
    this.opened.catch(() => undefined); // whoever waits for it hears it
    this.closed = new Promise((resolve) => (this.#onClosed = resolve));
    port.on("message", (message) => {
      this.#receive(message);
    });
  }

  /** Why the device can no longer be used, if so. */
  get failure(): EngineError | undefined {
    return this.#failure;
  }

  /**
   * `team`: where other devices have their shares of the model; its ports go to the thread. Raising the signal gives the
   * load up. Errors: those of the load; cancelled.
   */
  load(
    { folder, options, promised = 0, team }: LoadOrder,
    onProgress: (progress: LoadProgress) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<{ model: number; info: DeviceModelInfo }> {
    const model = this.#next++;
    const cancel = () => {
      if (!this.#failure) this.#send({ type: "cancel_load", model });
    };
    const done = () => signal?.removeEventListener("abort", cancel);
    const asked = new Promise<{ model: number; info: DeviceModelInfo }>((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const loaded = (info: DeviceModelInfo) => {
        resolve({ model, info });
      };
      this.#loads.set(model, { resolve: loaded, reject, onProgress });
      this.#send({ type: "load", model, folder, options, promised, team }, team?.ports);
      signal?.addEventListener("abort", cancel, { once: true });
    });
    return asked.finally(done);
  }

  /** Has the device take a share of a model of which the other end of the port is told. */
  follow(port: MessagePort): void {
    if (this.#failure) port.close();
    else this.#send({ type: "follow", port }, [port]);
  }

  unload(model: number): Promise<void> {
    if (this.#failure) return Promise.resolve();
    return new Promise((resolve) => {
      this.#unloads.set(model, resolve);
      this.#send({ type: "unload", model });
    });
  }

  /** What grammars need to know of a model's tokens. */
  teach(model: number, vocabulary: Vocabulary): void {
    if (!this.#failure) this.#send({ type: "vocabulary", model, vocabulary });
  }

  /** Runs a request; raising the signal ends it at the next token with `cancelled`. */
  async *generate(
    model: number,
    request: GenerateRequest,
    signal: AbortSignal,
  ): AsyncGenerator<GenerateEvent> {
    if (this.#failure) throw this.#failure;
    const job = this.#next++;
    const events: GenerateEvent[] = [];
    let failure: Error | undefined;
    let wake: () => void = () => undefined;
    this.#jobs.set(job, {
      push: (event) => {
        events.push(event);
        wake();
      },
      fail: (error) => {
        failure = error;
        wake();
      },
    });
    const cancel = () => {
      this.#send({ type: "cancel", job });
    };
    let ended = false;
    try {
      this.#send({ type: "generate", job, model, request });
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
      while (!ended) {
        const event = events.shift();
        if (event) {
          ended = event.type === "finished";
          yield event;
        } else if (failure) {
          ended = true;
          throw failure;
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", cancel);
      if (!ended) await this.#drain(job, cancel, events);
      this.#jobs.delete(job);
    }
  }

  /** Lets the thread end its jobs and free its device; pending work fails with `shutting_down`. */
  async close(): Promise<void> {
    if (this.#failure) return;
    this.fail(new EngineError("shutting_down", "the engine is closing"));
    this.#send({ type: "close" });
    await this.closed;
  }

  /** Has the thread destroy its device at once, whatever runs there. */
  async abandon(): Promise<void> {
    this.#send({ type: "abandon" });
    await this.closed;
  }

  /** Every wait ends with this error: the device or its thread is gone. */
  fail(error: EngineError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#onOpened.reject(error);
    for (const { reject } of this.#loads.values()) reject(error);
    for (const resolve of this.#unloads.values()) resolve();
    for (const job of this.#jobs.values()) job.fail(error);
    this.#loads.clear();
    this.#unloads.clear();
    this.onFailure(error);
  }

  /** The thread has ended. */
  ended(): void {
    this.#onClosed();
  }

  /** The consumer stopped listening: the seat may only be given back once the device is done with the job. */
  #drain(job: number, cancel: () => void, events: GenerateEvent[]): Promise<void> {
    if (this.#failure || events.some((event) => event.type === "finished")) return Promise.resolve();
    return new Promise((resolve) => {
      this.#jobs.set(job, {
        push: (event) => {
          if (event.type === "finished") resolve();
        },
        fail: () => {
          resolve();
        },
      });
      cancel();
    });
  }

  #send(message: ToWorker, ports: readonly MessagePort[] = []): void {
    this.#port.postMessage(message, ports);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "opened":
        this.#onOpened.resolve(message.report);
        return;
      case "open_failed":
      case "lost":
        this.fail(fromPlainError(message.error));
        return;
      case "progress":
        this.#loads.get(message.model)?.onProgress(message.progress);
        return;
      case "loaded":
        this.#loads.get(message.model)?.resolve(message.info);
        this.#loads.delete(message.model);
        return;
      case "load_failed":
        this.#loads.get(message.model)?.reject(fromPlainError(message.error));
        this.#loads.delete(message.model);
        return;
      case "unloaded":
        this.#unloads.get(message.model)?.();
        this.#unloads.delete(message.model);
        return;
      case "event":
        this.#jobs.get(message.job)?.push(message.event);
        return;
      case "job_failed":
        this.#jobs.get(message.job)?.fail(fromPlainError(message.error));
        return;
      case "closed":
        this.ended();
        return;
      default:
        message satisfies never;
    }
  }
}
