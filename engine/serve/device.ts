// The device's side of the engine, in the thread that owns the GPU: loads models, runs jobs, answers messages.
// Jobs of one model run side by side, turn after turn (turns.ts).
import { setPriority } from "node:os";
import type { MessagePort } from "node:worker_threads";
import { EngineError, toPlainError } from "../errors.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { openConverter, serialConverter, type Converter } from "../formats/quantise/pool.ts";
import { openGpu, type Gpu, type GpuOptions } from "../gpu/adapter.ts";
import { Grammars } from "../grammar/matcher.ts";
import { allocating } from "../gpu/tensor.ts";
import { defaultImageLimits } from "../image/limits.ts";
import type { Vocabulary } from "../grammar/vocabulary.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import type { DeviceModelInfo, FromWorker, ToWorker } from "./messages.ts";
import { memoryBytes } from "../models/memory.ts";
import { deltaStateBytes } from "../ops/delta.ts";
import { Runner } from "./runner.ts";
import { Turns } from "./turns.ts";
import type { GenerateEvent, GenerateRequest, LoadOptions, LoadProgress } from "./types.ts";
import { loadVision, type Vision } from "./vision.ts";

export interface DeviceModel {
  readonly config: ModelConfig;
  readonly runner: Runner;
  readonly vision: Vision | undefined;
  readonly turns: Turns;
  readonly info: DeviceModelInfo;
  destroy(): void;
}

/** Our limit where neither the request nor the checkpoint asks for less. */
export const defaultContextLength = 8192;

/** Reads a checkpoint onto the device and prepares to run it. Nothing stays allocated when it throws. */
export async function loadModel(
  gpu: Gpu,
  folder: string,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void = () => undefined,
  converter: Converter = serialConverter,
): Promise<DeviceModel> {
  const checkpoint = await openCheckpoint(folder, options.quant);
  try {
    return await allocating(gpu, () => buildModel(gpu, checkpoint, converter, options, onProgress));
  } finally {
    await checkpoint.close();
  }
}

async function buildModel(
  gpu: Gpu,
  checkpoint: Checkpoint,
  converter: Converter,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
): Promise<DeviceModel> {
  const progress: LoadProgress = {
    phase: "reading",
    bytes: 0,
    totalBytes: checkpoint.totalBytes,
    tensors: 0,
    totalTensors: checkpoint.names.length,
  };
  const onBytes = (bytes: number, tensor?: string) => {
    progress.bytes += bytes;
    if (tensor) progress.tensors += 1;
    onProgress({ ...progress });
  };
  const loader = new Loader(gpu, checkpoint, { onBytes, converter });
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const contextLength = contextOf(config, options);
  const software = gpu.report.kind === "software";
  const flopsPerSubmit = software ? 2e10 : 5e11;
  const network = await architectures[config.modelType](loader, config);
  const cacheBytes = options.imageCacheBytes ?? defaultImageLimits.cacheBytes;
  const visionOptions = { contextLength, flopsPerSubmit, cacheBytes };
  const vision = await loadVision(gpu, checkpoint, loader, config, visionOptions);
  onProgress({ ...progress, phase: "compiling" });
  const pictures = vision !== undefined;
  const slots = options.maxInFlight ?? slotsFor(gpu, config, contextLength, loader.bytes);
  const chunk = software ? 256 : 512;
  const { prefixCache = true, specialTokens = [] } = options;
  const snapshots = prefixCache ? snapshotsFor(gpu, config) : 0;
  const runnerOptions = { contextLength, slots, snapshots, chunk, flopsPerSubmit, pictures };
  const runner = await Runner.create(gpu, network, config, runnerOptions);
  onProgress({ ...progress, phase: "ready" });
  const destroy = () => {
    runner.destroy();
    vision?.destroy();
    loader.dispose();
  };
  const states = config.layerTypes.includes("linear_attention");
  const turns = new Turns(runner, vision, { chunk, states, prefixCache, specialTokens });
  return { config, runner, vision, turns, info: infoOf(config, loader, runner, vision), destroy };
}

/** What a model may run at once where nobody says otherwise. */
const defaultSlots = { software: 4, hardware: 8 };

/** Fewer than the default where their memory cannot be bound, or would take more than the weights and a GiB do. */
function slotsFor(gpu: Gpu, config: ModelConfig, contextLength: number, weightBytes: number): number {
  const { total, largest } = memoryBytes(config, contextLength);
  const bindable = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const room = Math.max(weightBytes, 2 ** 30);
  const fitting = Math.floor(Math.min(bindable / largest, room / total));
  return Math.max(1, Math.min(defaultSlots[gpu.report.kind], fitting));
}

/** Bytes that saved states may take. */
const snapshotBytes = { software: 2 ** 28, hardware: 2 ** 30 };
const mostSnapshots = 64;

function snapshotsFor(gpu: Gpu, { layerTypes, delta }: ModelConfig): number {
  if (!delta) return 0;
  const layers = layerTypes.filter((type) => type === "linear_attention").length;
  const bytes = deltaStateBytes(delta);
  const fitting = Math.min(snapshotBytes[gpu.report.kind] / layers, gpu.limits.maxBufferSize) / bytes;
  return Math.min(mostSnapshots, Math.floor(fitting));
}

function contextOf(config: ModelConfig, { contextLength }: LoadOptions): number {
  if (contextLength === undefined) return Math.min(config.maxPositions, defaultContextLength);
  if (contextLength <= config.maxPositions) return contextLength;
  const most = `the checkpoint's max_position_embeddings is ${config.maxPositions}`;
  throw new EngineError("bad_request", `context length ${contextLength} is too long: ${most}`);
}

function infoOf(
  config: ModelConfig,
  loader: Loader,
  runner: Runner,
  vision: Vision | undefined,
): DeviceModelInfo {
  return {
    modelType: config.modelType,
    vocabSize: config.vocab,
    contextLength: runner.contextLength,
    maxInFlight: runner.slots,
    parameters: loader.parameters,
    weightBytes: loader.bytes,
    cacheBytes: runner.cacheBytes,
    scratchBytes: runner.scratchBytes + (vision?.tower.scratchBytes ?? 0),
    dispatchesPerToken: runner.decodeKernels.length,
    vision: vision?.info,
  };
}

/** Serves a port until it is told to close. */
export async function serveDevice(port: MessagePort, options: GpuOptions): Promise<void> {
  const post = (message: FromWorker) => {
    port.postMessage(message);
  };
  let gpu: Gpu;
  try {
    gpu = await openGpu(options);
  } catch (error) {
    post({ type: "open_failed", error: toPlainError(error) });
    port.close();
    return;
  }
  // While a result is awaited Dawn polls in a loop; on a software adapter that would starve its own workers.
  if (gpu.report.kind === "software") lowerPriority();
  const server = new DeviceServer(gpu, post);
  void gpu.lost.then((info) => {
    server.lost(new EngineError("device_lost", `${gpu.report.name} was lost: ${info.message}`));
  });
  gpu.device.addEventListener("uncapturederror", ({ error }) => {
    server.fault(new Error(`the device refused a command: ${error.message}`));
  });
  post({ type: "opened", report: gpu.report });
  await new Promise<void>((resolve) => {
    port.on("message", (message: ToWorker) => {
      void server.receive(message).then((closed) => {
        if (closed) resolve();
      });
    });
  });
  gpu.destroy();
  post({ type: "closed" });
  port.close();
}

function lowerPriority(): void {
  try {
    setPriority(0, 10); // on Linux this is the calling thread's
  } catch {
    // a container may forbid it; then it is only slower
  }
}

class DeviceServer {
  readonly #gpu: Gpu;
  readonly #post: (message: FromWorker) => void;
  readonly #models = new Map<number, DeviceModel>();
  readonly #jobs = new Map<number, Turns>();
  #loading = Promise.resolve();
  #closing = false;

  constructor(gpu: Gpu, post: (message: FromWorker) => void) {
    this.#gpu = gpu;
    this.#post = post;
  }

  /** Handles one message; true when it was the last. */
  async receive(message: ToWorker): Promise<boolean> {
    if (message.type === "load") await this.#enqueueLoad(message.model, message.folder, message.options);
    else if (message.type === "generate") this.#start(message.job, message.model, message.request);
    else if (message.type === "vocabulary") this.#learn(message.model, message.vocabulary);
    else if (message.type === "cancel") this.#jobs.get(message.job)?.cancel(message.job);
    else if (message.type === "unload") await this.#unload(message.model);
    else await this.#close();
    return message.type === "close";
  }

  lost(error: EngineError): void {
    if (this.#closing) return;
    this.#post({ type: "lost", error: toPlainError(error) });
  }

  /** A refused command would leave wrong numbers behind: whatever runs now cannot be trusted and fails. */
  fault(error: Error): void {
    for (const { turns } of this.#models.values()) turns.fault(error);
  }

  /** One load at a time: error scopes are a stack of the whole device. */
  #enqueueLoad(model: number, folder: string, options: LoadOptions): Promise<void> {
    this.#loading = this.#loading.then(() => this.#load(model, folder, options));
    return this.#loading;
  }

  async #load(model: number, folder: string, options: LoadOptions): Promise<void> {
    let reported = 0;
    const onProgress = (progress: LoadProgress) => {
      const now = performance.now();
      if (progress.phase === "reading" && now - reported < 100) return;
      reported = now;
      this.#post({ type: "progress", model, progress });
    };
    const converter = openConverter();
    try {
      const loaded = await loadModel(this.#gpu, folder, options, onProgress, converter);
      this.#models.set(model, loaded);
      this.#post({ type: "loaded", model, info: loaded.info });
    } catch (error) {
      this.#post({ type: "load_failed", model, error: toPlainError(error) });
    } finally {
      await converter.close();
    }
  }

  #learn(model: number, vocabulary: Vocabulary): void {
    const loaded = this.#models.get(model);
    loaded?.turns.learn(new Grammars(vocabulary, loaded.config.vocab));
  }

  #start(job: number, model: number, request: GenerateRequest): void {
    const turns = this.#models.get(model)?.turns;
    const failed = (error: unknown) => {
      this.#jobs.delete(job);
      this.#post({ type: "job_failed", job, error: toPlainError(error) });
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
    await loaded?.turns.stop();
    loaded?.destroy();
    this.#post({ type: "unloaded", model });
  }

  async #close(): Promise<void> {
    this.#closing = true;
    const models = [...this.#models.values()];
    this.#models.clear();
    await Promise.all(models.map(({ turns }) => turns.stop()));
    for (const model of models) model.destroy();
  }
}
