// What one device has of a model, ready to run: all of it, or one rank's share.
import { openCheckpoint, type Checkpoint, type TensorSource } from "../formats/checkpoint.ts";
import { serialConverter, type Converter } from "../formats/quantise/pool.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/pass.ts";
import { allocating } from "../gpu/tensor.ts";
import { defaultImageLimits } from "../image/limits.ts";
import type { ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { configOf } from "../models/pooling.ts";
import type { Network } from "../models/network.ts";
import { architectures } from "../models/registry.ts";
import { isSoftware } from "../ops/variants.ts";
import { sliced } from "../parallel/sliced.ts";
import type { RankShare } from "../parallel/slices.ts";
import { unwatched, watchedConverter, watchedSource, type Watch } from "./loadWatch.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import { pace } from "./planModel.ts";
import type { TuningHooks } from "./plans.ts";
import { Pulse } from "./pulse.ts";
import { Runner } from "./runner.ts";
import type { LoadOptions, LoadProgress } from "./types.ts";
import { loadVision, towerOf, type Vision } from "./vision.ts";

export interface Part {
  /** Of the part: its own heads and units. */
  readonly config: ModelConfig;
  readonly loader: Loader;
  /** Warmed up, unless it does that together with others. */
  readonly runner: Runner;
  readonly vision: Vision | undefined;
  /** As it is when all is there. */
  readonly progress: LoadProgress;
  destroy(): void;
}

/** What it occupies. */
export interface PartFigures {
  weightBytes: number;
  cacheBytes: number;
  scratchBytes: number;
}

export function figuresOf({ loader, runner, vision }: Part): PartFigures {
  return {
    weightBytes: loader.bytes,
    cacheBytes: runner.cacheBytes,
    scratchBytes: runner.scratchBytes + (vision?.tower.scratchBytes ?? 0),
  };
}

/** A rank's share of a model, and how it meets the others. */
export interface Membership {
  share: RankShare;
  peers: Peers;
}

export interface PartOptions {
  options: LoadOptions;
  plan: MemoryPlan;
  /** Default: the whole model is here. */
  member?: Membership | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** What repacks and quantises; default: this thread. */
  converter?: Converter | undefined;
  /** Ends the load when it no longer comes forward; default: nobody. */
  watch?: Watch | undefined;
  /** Counts what the device is waited for, for a watchdog. */
  pulse?: Pulse | undefined;
}

/** Opens a checkpoint for `work`, and closes it. Errors: those of the watch, of opening it, of the work. */
export async function withCheckpoint<T>(
  folder: string,
  quant: string | undefined,
  watch: Watch,
  work: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const opening = openCheckpoint(folder, quant);
  try {
    return await work(await watch.during("opening its files", opening));
  } finally {
    const closed = opening.then((checkpoint) => checkpoint.close()).catch(() => undefined);
    if (!watch.error) await closed; // a file that hangs does not close either
  }
}

/** Reads it onto the device. Nothing stays allocated when it throws. Errors: out_of_memory; those of a bad checkpoint. */
export function loadPart(gpu: Gpu, checkpoint: Checkpoint, options: PartOptions): Promise<Part> {
  const { watch = unwatched } = options;
  return allocating(gpu, () => watch.guard(buildPart(gpu, checkpoint, { ...options, watch })));
}

async function buildPart(gpu: Gpu, checkpoint: Checkpoint, parts: PartOptions): Promise<Part> {
  const { member, onProgress = () => undefined, converter = serialConverter } = parts;
  const { watch = unwatched, pulse = new Pulse() } = parts;
  const source = member ? sliced(checkpoint, member.share) : checkpoint;
  const progress = startProgress(checkpoint, source);
  const onBytes = (bytes: number, tensor?: string) => {
    progress.bytes += bytes;
    if (tensor) progress.tensors += 1;
    onProgress({ ...progress });
  };
  const loader = new Loader(gpu, watchedSource(source, watch), {
    ...{ onBytes, converter: watchedConverter(converter, watch) },
  });
  const config = member?.share.config ?? (await configOf(checkpoint));
  const network = await architectures[config.modelType](loader, config);
  // The weights flow while kernels compile.
  const { vision, runner } = await loader.fillBeside(async () => {
    const vision = await visionOf(gpu, checkpoint, loader, config, parts);
    const enter = stagesBehind(loader, (phase) => onProgress({ ...progress, phase }));
    const tuning = tuningHooks(loader, onProgress, progress);
    const pictures = towerOf(checkpoint, config) !== undefined;
    const runner = await createRunner(gpu, network, config, { ...parts, pictures, tuning });
    if (!member) {
      enter("warming");
      if (isSoftware(gpu)) await loader.fill(); // compiling there, it would take the cores that read
      await runner.compile({ over: () => watch.error !== undefined, step: (work) => pulse.beat(work) });
      await runner.warmUp();
    }
    return { vision, runner };
  });
  const destroy = () => {
    runner.destroy();
    vision?.destroy();
    loader.dispose();
  };
  const ready: LoadProgress = { ...progress, phase: "ready" };
  if (!member) onProgress(ready);
  return { config, loader, runner, vision, progress: ready, destroy };
}

/** What goes on beside the reading is told when that has ended. */
function stagesBehind(
  loader: Loader,
  tell: (phase: LoadProgress["phase"]) => void,
): (phase: LoadProgress["phase"]) => void {
  let [now, filled]: [LoadProgress["phase"], boolean] = ["compiling", false];
  const enter = (phase: LoadProgress["phase"]) => {
    now = phase;
    if (filled) tell(phase);
  };
  const begin = () => {
    filled = true;
    enter(now);
  };
  loader.fill().then(begin, () => undefined);
  return enter;
}

/** What this part reads of the checkpoint. */
function startProgress({ names }: Checkpoint, source: TensorSource): LoadProgress {
  const totalBytes = names.reduce((sum, name) => sum + source.entry(name).bytes, 0);
  return { phase: "reading", bytes: 0, totalBytes, tensors: 0, totalTensors: names.length };
}

/** The tower is where the model is led from. */
async function visionOf(
  gpu: Gpu,
  checkpoint: Checkpoint,
  loader: Loader,
  config: ModelConfig,
  { options, plan, member }: PartOptions,
): Promise<Vision | undefined> {
  if (member && member.share.rank > 0) return undefined;
  return loadVision(gpu, checkpoint, loader, config, {
    contextLength: plan.contextLength,
    flopsPerSubmit: pace(gpu.report.kind).flopsPerSubmit,
    cacheBytes: options.imageCacheBytes ?? defaultImageLimits.cacheBytes,
  });
}

function createRunner(
  gpu: Gpu,
  network: Network,
  config: ModelConfig,
  { options, plan, member, pictures, tuning }: PartOptions & { pictures: boolean; tuning: TuningHooks },
): Promise<Runner> {
  const { contextLength, slots, pages, snapshots } = plan;
  return Runner.create(gpu, network, config, {
    ...{ contextLength, slots, pages, snapshots, pictures, tuning },
    ...{ kvFormat: options.kvCache ?? "f32", ...member?.peers },
    ...pace(gpu.report.kind),
  });
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
