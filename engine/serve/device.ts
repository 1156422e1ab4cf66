// From a checkpoint to a model on the device, ready to run.
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { serialConverter, type Converter } from "../formats/quantise/pool.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { allocating } from "../gpu/tensor.ts";
import { defaultImageLimits } from "../image/limits.ts";
import type { ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { configOf } from "../models/pooling.ts";
import { architectures } from "../models/registry.ts";
import { unwatched, watchedConverter, watchedSource, type Watch } from "./loadWatch.ts";
import type { DeviceModelInfo } from "./messages.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import { budgetFor, pace, planModel } from "./planModel.ts";
import type { TuningHooks } from "./plans.ts";
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

/** Who watches a load, and the model afterwards. */
export interface LoadHooks {
  onProgress?: (progress: LoadProgress) => void;
  /** What repacks and quantises; default: this thread. */
  converter?: Converter;
  /** Ends it when it no longer comes forward; default: nobody. */
  watch?: Watch;
  /** Counts the model's steps for a watchdog. */
  pulse?: Pulse;
  /** Hears each turn before it runs. */
  onStep?: (step: Step) => void;
  /** Bytes that other models of the device may use. */
  promised?: number;
}

/**
 * Reads a checkpoint onto the device and prepares to run it, by a plan of its memory. Nothing stays allocated when it
 * throws. Errors: out_of_memory with the arithmetic; those of a bad checkpoint; those of the watch.
 */
export async function loadModel(
  gpu: Gpu,
  folder: string,
  options: LoadOptions,
  hooks: LoadHooks = {},
): Promise<DeviceModel> {
  const { watch = unwatched } = hooks;
  const opening = openCheckpoint(folder, options.quant);
  const ended = () => opening.then((checkpoint) => checkpoint.close()).catch(() => undefined);
  try {
    const checkpoint = await watch.during("opening its files", opening);
    const planning = async () => {
      const budget = await budgetFor(gpu, options.memoryLimitMb, hooks.promised);
      return planModel(gpu, checkpoint, options, budget);
    };
    const plan = await watch.during("planning its memory", planning());
    return await allocating(gpu, () => watch.guard(buildModel(gpu, checkpoint, plan, options, hooks)));
  } finally {
    const closed = ended();
    if (!watch.error) await closed; // a file that hangs does not close either
  }
}

async function buildModel(
  gpu: Gpu,
  checkpoint: Checkpoint,
  plan: MemoryPlan,
  options: LoadOptions,
  { onProgress = () => undefined, converter = serialConverter, watch = unwatched, ...hears }: LoadHooks,
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
  const { contextLength, slots, pages, snapshots } = plan;
  const { chunk, flopsPerSubmit } = pace(gpu.report.kind);
  const loader = new Loader(gpu, watchedSource(checkpoint, watch), {
    ...{ onBytes, converter: watchedConverter(converter, watch) },
  });
  const config = await configOf(checkpoint);
  const network = await architectures[config.modelType](loader, config);
  const cacheBytes = options.imageCacheBytes ?? defaultImageLimits.cacheBytes;
  const visionOptions = { contextLength, flopsPerSubmit, cacheBytes };
  const { prefixCache = true, specialTokens = [], kvCache: kvFormat = "f32" } = options;
  // The weights flow while kernels compile.
  const { vision, runner } = await loader.fillBeside(async () => {
    const vision = await loadVision(gpu, checkpoint, loader, config, visionOptions);
    const compiling = () => onProgress({ ...progress, phase: "compiling" });
    loader.fill().then(compiling, () => undefined);
    const tuning = tuningHooks(loader, onProgress, progress);
    const pictures = vision !== undefined;
    const runnerOptions = {
      contextLength,
      slots,
      pages,
      snapshots,
      kvFormat,
      chunk,
      flopsPerSubmit,
      pictures,
      tuning,
    };
    const runner = await Runner.create(gpu, network, config, runnerOptions);
    await runner.warmUp();
    return { vision, runner };
  });
  onProgress({ ...progress, phase: "ready" });
  const destroy = () => {
    runner.destroy();
    vision?.destroy();
    loader.dispose();
  };
  const states = config.layerTypes.includes("linear_attention");
  const turns = new Turns(runner, vision, { chunk, states, prefixCache, specialTokens, ...hears });
  return { config, runner, vision, turns, info: infoOf(config, loader, runner, vision, plan), destroy };
}

/** What is measured must have the device to itself: the weights are there before. */
function tuningHooks(
  loader: Loader,
  tell: (progress: LoadProgress) => void,
  progress: LoadProgress,
): TuningHooks {
  return {
    begin: async () => {
      await loader.fill();
      tell({ ...progress, phase: "tuning" });
    },
    end: () => tell({ ...progress, phase: "compiling" }),
  };
}

function infoOf(
  config: ModelConfig,
  loader: Loader,
  runner: Runner,
  vision: Vision | undefined,
  plan: MemoryPlan,
): DeviceModelInfo {
  return {
    modelType: config.modelType,
    format: loader.checkpoint.format,
    quant: loader.mainFormat,
    vocabSize: config.vocab,
    embeddingWidth: config.pooling && config.hidden,
    contextLength: runner.contextLength,
    maxInFlight: runner.slots,
    parameters: loader.parameters,
    weightBytes: loader.bytes,
    cacheBytes: runner.cacheBytes,
    scratchBytes: runner.scratchBytes + (vision?.tower.scratchBytes ?? 0),
    dispatchesPerToken: runner.decodeKernels.length,
    vision: vision?.info,
    plan,
  };
}
