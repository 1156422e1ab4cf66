// From a checkpoint to a model on the device, ready to run.
import { EngineError } from "../errors.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { serialConverter, type Converter } from "../formats/quantise/pool.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { allocating } from "../gpu/tensor.ts";
import { defaultImageLimits } from "../image/limits.ts";
import { parseConfig, type ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import type { DeviceModelInfo } from "./messages.ts";
import { memoryBytes } from "../models/memory.ts";
import { deltaStateBytes } from "../ops/delta.ts";
import type { Pulse } from "./pulse.ts";
import { Runner } from "./runner.ts";
import type { Step } from "./scheduler.ts";
import { Turns } from "./turns.ts";
import type { LoadOptions, LoadProgress } from "./types.ts";
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

/** Who watches a load, and the model afterwards. */
export interface LoadHooks {
  onProgress?: (progress: LoadProgress) => void;
  /** What repacks and quantises; default: this thread. */
  converter?: Converter;
  /** Counts the model's steps for a watchdog. */
  pulse?: Pulse;
  /** Hears each turn before it runs. */
  onStep?: (step: Step) => void;
}

/** Reads a checkpoint onto the device and prepares to run it. Nothing stays allocated when it throws. */
export async function loadModel(
  gpu: Gpu,
  folder: string,
  options: LoadOptions,
  hooks: LoadHooks = {},
): Promise<DeviceModel> {
  const checkpoint = await openCheckpoint(folder, options.quant);
  try {
    return await allocating(gpu, () => buildModel(gpu, checkpoint, options, hooks));
  } finally {
    await checkpoint.close();
  }
}

async function buildModel(
  gpu: Gpu,
  checkpoint: Checkpoint,
  options: LoadOptions,
  { onProgress = () => undefined, converter = serialConverter, ...watch }: LoadHooks,
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
  const chunk = software ? 256 : 512;
  const { prefixCache = true, specialTokens = [] } = options;
  // The weights flow while kernels compile.
  const { vision, runner } = await loader.fillBeside(async () => {
    const vision = await loadVision(gpu, checkpoint, loader, config, visionOptions);
    const filled = () => onProgress({ ...progress, phase: "compiling" });
    loader.fill().then(filled, () => undefined);
    const slots = options.maxInFlight ?? slotsFor(gpu, config, contextLength, loader.bytes);
    const snapshots = prefixCache ? snapshotsFor(gpu, config) : 0;
    const pictures = vision !== undefined;
    const runnerOptions = { contextLength, slots, snapshots, chunk, flopsPerSubmit, pictures };
    return { vision, runner: await Runner.create(gpu, network, config, runnerOptions) };
  });
  onProgress({ ...progress, phase: "ready" });
  const destroy = () => {
    runner.destroy();
    vision?.destroy();
    loader.dispose();
  };
  const states = config.layerTypes.includes("linear_attention");
  const turns = new Turns(runner, vision, { chunk, states, prefixCache, specialTokens, ...watch });
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
    format: loader.checkpoint.format,
    quant: loader.mainFormat,
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
