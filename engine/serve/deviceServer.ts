// The device's side of the engine, in the thread that owns the GPU: loads models, runs jobs, answers messages.
// Jobs of one model run side by side, turn after turn (turns.ts).
import { setPriority } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessagePort } from "node:worker_threads";
import { EngineError, toPlainError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { Grammars } from "../grammar/matcher.ts";
import type { Vocabulary } from "../grammar/vocabulary.ts";
import { loadModel, loadTeam, type DeviceModel } from "./device.ts";
import { Faults, type FaultPoint, type FaultTarget } from "./faults.ts";
import { LoadWatch } from "./loadWatch.ts";
import { realMachine, type Machine, type OpenMachine } from "./machine.ts";
import type { FromWorker, ThreadData, ToWorker } from "./messages.ts";
import { Pulse } from "./pulse.ts";
import type { Runner } from "./runner.ts";
import type { Step } from "./scheduler.ts";
import { Follower, type LoadMeans } from "./team/follower.ts";
import type { Turns } from "./turns.ts";
import type { GenerateEvent, GenerateRequest, LoadProgress } from "./types.ts";

type LoadMessage = Extract<ToWorker, { type: "load" }>;

/** How long the loss of a device may take to be told behind the failures that it causes, ms. */
const lossLimitMs = 100;
/** Until no turn begins any more; one that hangs is not waited for longer, ms. */
const stopLimitMs = 2_000;

/** Serves a port until it is told to close. */
export async function serveDevice(
  port: MessagePort,
  data: ThreadData,
  machine: Machine = realMachine,
): Promise<void> {
  const post = (message: FromWorker) => {
    port.postMessage(message);
  };
  let opened: OpenMachine;
  try {
    opened = await machine.open(data.choice, data.tuning);
  } catch (error) {
    post({ type: "open_failed", error: toPlainError(error) });
    await ended(port);
    return;
  }
  // A software adapter computes on the cores that this thread would take from it, and waits for the slower of its own.
  const { gpu } = opened;
  if (gpu.report.kind === "software") lowerPriority();
  const server = new DeviceServer(gpu, post, data, machine);
  watchDevice(gpu, machine, server);
  post({ type: "opened", report: gpu.report });
  await new Promise<void>((resolve) => {
    port.on("message", (message: ToWorker) => {
      void server.receive(message).then((closed) => {
        if (closed) resolve();
      });
    });
  });
  gpu.destroy();
  await Promise.race([server.stopped(), sleep(stopLimitMs)]);
  await opened.settled();
  post({ type: "closed" });
  // What the last results wake up, a load perhaps, must not call Dawn while the main thread terminates this one: an
  // exception that Dawn cannot throw any more takes the process along.
  machine.end();
}

/** A thread without a device has nothing to do but to hear that it is to end. */
async function ended(port: MessagePort): Promise<void> {
  await new Promise<void>((resolve) => port.once("message", () => resolve()));
  port.postMessage({ type: "closed" } satisfies FromWorker);
  port.close();
}

/** What tells that the device, or this thread, cannot go on; and what only tells of a mistake of ours. */
function watchDevice(gpu: Gpu, machine: Machine, server: DeviceServer): void {
  const lost = (why: string) => {
    server.lost(new EngineError("device_lost", `${gpu.report.name} ${why}`));
  };
  void gpu.lost.then(({ message }) => lost(`was lost: ${message}`));
  gpu.device.addEventListener("uncapturederror", ({ error }) => {
    if (error instanceof GPUValidationError)
      server.fault(new Error(`the device refused a command: ${error.message}`));
    else lost(`failed: ${error.message}`);
  });
  // Dawn brings the process down when a thread ends while a result is owed to it: so it is the main thread that ends it.
  machine.onCrash((error) => {
    console.error(error.stack ?? String(error)); // for the log; callers have no use for it
    server.lost(new EngineError("device_lost", `the device's thread failed: ${String(error)}`));
  });
}

function lowerPriority(): void {
  try {
    setPriority(0, 15); // on Linux this is the calling thread's
  } catch {
    // a container may forbid it; then it is only slower
  }
}

class DeviceServer {
  readonly #gpu: Gpu;
  readonly #machine: Machine;
  readonly #post: (message: FromWorker) => void;
  readonly #pulse: Pulse;
  readonly #loadPulse: Pulse;
  readonly #loadLimitMs: number;
  readonly #faults: Faults;
  readonly #models = new Map<number, DeviceModel>();
  readonly #jobs = new Map<number, Turns>();
  readonly #followers = new Set<Follower>();
  /** Where faults are to happen: ahead of what is taken of a sum. */
  readonly #onSum: (() => Promise<void>) | undefined;
  #loading = Promise.resolve();
  /** Of the load that is under way. */
  #watch: LoadWatch | undefined;
  /** Whose load that is, where it is not a share of another device's model. */
  #loadingModel: number | undefined;
  /** Loads that were cancelled before they began. */
  readonly #cancelled = new Set<number>();
  /** It ends, or its end was asked for: nothing more is told. */
  #over = false;

  constructor(gpu: Gpu, post: (message: FromWorker) => void, data: ThreadData, machine: Machine) {
    this.#gpu = gpu;
    this.#machine = machine;
    this.#post = post;
    this.#pulse = new Pulse(data.pulse);
    this.#loadPulse = new Pulse(data.loadPulse);
    this.#loadLimitMs = data.loadLimitMs[gpu.report.kind];
    this.#faults = new Faults(data.faults);
    if (data.faults.length === 0) return;
    this.#faults.obstruct(gpu.device);
    this.#onSum = () => this.#reachSum();
  }

  /** Handles one message; true when it was the last. */
  async receive(message: ToWorker): Promise<boolean> {
    if (message.type === "load") await this.#load(message);
    else if (message.type === "follow") this.#follow(message.port);
    else if (message.type === "generate") this.#start(message.job, message.model, message.request);
    else if (message.type === "vocabulary") this.#learn(message.model, message.vocabulary);
    else if (message.type === "cancel") this.#jobs.get(message.job)?.cancel(message.job);
    else if (message.type === "cancel_load") this.#cancelLoad(message.model);
    else if (message.type === "unload") await this.#unload(message.model);
    else if (message.type === "abandon") this.#endLoads();
    else await this.#close();
    return message.type === "close" || message.type === "abandon";
  }

  /** Those who wait get no turn on a destroyed device: what a turn asks of it there would be owed when the thread ends. */
  async stopped(): Promise<void> {
    await Promise.all([...this.#models.values()].map(({ turns }) => turns.stop()));
  }

  /** Tells once that nothing here can be used any longer. */
  lost(error: EngineError): void {
    if (this.#over) return;
    this.#over = true;
    this.#post({ type: "lost", error: toPlainError(error) });
  }

  /** A refused command would leave wrong numbers behind: whatever runs now cannot be trusted and fails. */
  fault(error: Error): void {
    for (const { turns } of this.#models.values()) turns.fault(error);
    for (const follower of this.#followers) follower.fail(error);
  }

  async #load(order: LoadMessage): Promise<void> {
    const { model, folder } = order;
    try {
      const loaded = await this.#inTurn(folder, (means) => {
        if (this.#cancelled.delete(model)) throw cancelled();
        this.#loadingModel = model;
        return this.#read(order, means).finally(() => (this.#loadingModel = undefined));
      });
      this.#models.set(model, loaded);
      this.#post({ type: "loaded", model, info: loaded.info });
    } catch (error) {
      await this.#tell(error, (told) => ({ type: "load_failed", model, error: told }));
    }
  }

  #read({ model, folder, options, promised, team }: LoadMessage, means: LoadMeans): Promise<DeviceModel> {
    const hooks = {
      ...{ promised, ...means, pulse: this.#pulse },
      onProgress: this.#progressOf(model),
      onStep: (step: Step) => this.#stepped(step, this.#models.get(model)?.runner), // none while it is unloaded
    };
    if (!team) return loadModel(this.#gpu, folder, options, hooks);
    const lost = (error: unknown) => this.lost(asLoss(error));
    return loadTeam(this.#gpu, folder, options, team, { ...hooks, onSum: this.#onSum, lost });
  }

  #progressOf(model: number): (progress: LoadProgress) => void {
    let reported = 0;
    return (progress) => {
      if (progress.phase === "ready") this.#reach("load");
      const now = performance.now();
      if (progress.phase === "reading" && now - reported < 100) return;
      reported = now;
      this.#post({ type: "progress", model, progress });
    };
  }

  /** One load at a time: error scopes are a stack of the whole device. */
  #inTurn<T>(folder: string, work: (means: LoadMeans) => Promise<T>): Promise<T> {
    const turn = this.#loading.then(() => this.#watched(folder, work));
    this.#loading = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  async #watched<T>(folder: string, work: (means: LoadMeans) => Promise<T>): Promise<T> {
    if (this.#over) throw closing();
    const { building } = this.#machine;
    const converter = this.#machine.converter();
    const watch = new LoadWatch({
      ...{ limitMs: this.#loadLimitMs, name: folder, gpu: this.#gpu, pulse: this.#loadPulse },
      onRead: () => this.#faults.pass("read"),
    });
    this.#watch = watch;
    try {
      return await work({ converter, watch, building });
    } catch (error) {
      if (error === watch.error && watch.error?.code === "device_lost") this.lost(watch.error);
      throw error;
    } finally {
      watch.end();
      await converter.close();
    }
  }

  /** A share of a model that another device leads. */
  #follow(port: MessagePort): void {
    const follower = new Follower(this.#gpu, port, {
      load: (folder, work) => this.#inTurn(folder, work),
      step: (work) => this.#pulse.beat(work),
      reached: (point, runner) => this.#reach(point, runner),
      onSum: this.#onSum,
    });
    this.#followers.add(follower);
    void follower.ended.then(() => this.#followers.delete(follower));
  }

  #stepped({ prefill, decode }: Step, runner: Runner | undefined): void {
    if (prefill) this.#reach("prefill", runner);
    if (decode.length > 0) this.#reach("decode", runner);
  }

  #reach(point: FaultPoint, runner?: Runner): void {
    this.#faults.reach(
      point,
      this.#target(() => {
        if (runner) runner.turn = () => new Promise(() => undefined);
      }),
    );
  }

  async #reachSum(): Promise<void> {
    let hangs = false;
    this.#faults.reach(
      "sum",
      this.#target(() => (hangs = true)),
    );
    if (hangs) await new Promise(() => undefined);
  }

  #target(hang: () => void): FaultTarget {
    return { destroyDevice: () => this.#gpu.destroy(), crash: (error) => this.#machine.crash(error), hang };
  }

  /** A lost device makes everything fail in strange words, perhaps before it is told that it is lost. */
  async #tell(
    error: unknown,
    message: (error: ReturnType<typeof toPlainError>) => FromWorker,
  ): Promise<void> {
    if (!(error instanceof EngineError)) await Promise.race([this.#gpu.lost, sleep(lossLimitMs)]);
    if (!this.#over) this.#post(message(toPlainError(error)));
  }

  #learn(model: number, vocabulary: Vocabulary): void {
    const loaded = this.#models.get(model);
    loaded?.turns.learn(new Grammars(vocabulary, loaded.config.vocab));
  }

  #start(job: number, model: number, request: GenerateRequest): void {
    const turns = this.#models.get(model)?.turns;
    const failed = (error: unknown) => {
      this.#jobs.delete(job);
      void this.#tell(error, (told) => ({ type: "job_failed", job, error: told }));
    };
    if (!turns) {
      failed(new EngineError("model_not_found", "the model was unloaded"));
      return;
    }
    this.#jobs.set(job, turns);
    const event = (event: GenerateEvent) => {
      if (event.type === "finished") this.#jobs.delete(job);
      this.#post({ type: "event", job, event });
    };
    try {
      turns.submit(job, request, { event, failed });
    } catch (error) {
      failed(error);
    }
  }

  async #unload(model: number): Promise<void> {
    const loaded = this.#models.get(model);
    this.#models.delete(model); // so that nothing new begins
    if (loaded) await endModel(loaded);
    this.#post({ type: "unloaded", model });
  }

  #cancelLoad(model: number): void {
    if (this.#loadingModel === model) this.#watch!.giveUp(cancelled());
    else if (!this.#models.has(model)) this.#cancelled.add(model);
  }

  /** No load goes on, and none begins. */
  #endLoads(): void {
    this.#over = true;
    this.#watch?.giveUp(closing());
    for (const follower of this.#followers) follower.leave();
  }

  /** What it follows ends when those do that lead. */
  async #close(): Promise<void> {
    this.#endLoads();
    await this.#loading;
    const models = [...this.#models.values()];
    this.#models.clear();
    await Promise.all(models.map(endModel));
    await Promise.all([...this.#followers].map(({ ended }) => ended));
  }
}

function cancelled(): EngineError {
  return new EngineError("cancelled", "the load was cancelled");
}

function closing(): EngineError {
  return new EngineError("shutting_down", "the engine is closing");
}

async function endModel(model: DeviceModel): Promise<void> {
  await model.turns.stop();
  await model.dismiss();
  model.destroy();
}

/** Whatever a device could not do while others waited for it, all of them begin anew. */
function asLoss(error: unknown): EngineError {
  if (error instanceof EngineError && error.code === "device_lost") return error;
  const [what] = (error instanceof Error ? error.message : String(error)).split("\n"); // no stack, where there is one
  return new EngineError("device_lost", `a turn of several devices failed: ${what}`, {}, { cause: error });
}
