// From a checkpoint to a model on the device, ready to run; or on several, where this one leads.
import type { Converter } from "../formats/quantise/pool.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { ModelConfig } from "../models/config.ts";
import { realBuilding, type Building } from "./building.ts";
import { unwatched, type Watch } from "./loadWatch.ts";
import type { DeviceModelInfo } from "./messages.ts";
import { figuresOf, type Part, type PartFigures } from "./part.ts";
import { pace } from "./planModel.ts";
import type { Pulse } from "./pulse.ts";
import type { Runner, TurnTaker } from "./runner.ts";
import type { Step } from "./scheduler.ts";
import { gather, type Team, type TeamSettings } from "./team/gather.ts";
import { Turns } from "./turns.ts";
import type { LoadOptions, LoadProgress, ModelSpread } from "./types.ts";
import type { Vision } from "./vision.ts";

export interface DeviceModel {
  readonly config: ModelConfig;
  readonly runner: Runner;
  readonly vision: Vision | undefined;
  readonly turns: Turns;
  readonly info: DeviceModelInfo;
  /** Resolves when the devices that follow have freed their shares. */
  dismiss(): Promise<void>;
  /** Frees what it has on this device. */
  destroy(): void;
}

/** Who watches a load, and the model afterwards. */
export interface LoadHooks {
  onProgress?: (progress: LoadProgress) => void;
  /** What reads, weighs and fills; default: what there really is. */
  building?: Building;
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

/** Of a model that other devices have shares of. */
export interface TeamHooks extends LoadHooks {
  /** Hears that a turn has failed, so that the devices no longer agree. */
  lost: (error: unknown) => void;
  /** For tests: runs ahead of what this device takes of a sum. */
  onSum?: (() => Promise<void>) | undefined;
}

/**
 * Reads a checkpoint onto the device and prepares to run it, by a plan of its memory. Nothing stays allocated when it
 * throws. Errors: out_of_memory with the arithmetic; those of a bad checkpoint; those of the watch.
 */
export function loadModel(
  gpu: Gpu,
  folder: string,
  options: LoadOptions,
  hooks: LoadHooks = {},
): Promise<DeviceModel> {
  const { watch = unwatched, building = realBuilding } = hooks;
  return building.withCheckpoint(folder, options.quant, watch, async (checkpoint) => {
    const planning = building.planAlone(gpu, checkpoint, options, hooks.promised);
    const plan = await watch.during("planning its memory", planning);
    const part = await building.loadPart(gpu, checkpoint, { options, plan, ...hooks });
    const info = infoOf(part, {
      plans: [plan],
      figures: [figuresOf(part)],
      parameters: part.loader.parameters,
      spread: undefined,
    });
    return modelOf(gpu, part, part.runner, info, options, hooks);
  });
}

/** The same of a model that this device leads, while others have their shares of it. Errors: also device_lost. */
export function loadTeam(
  gpu: Gpu,
  folder: string,
  options: LoadOptions,
  settings: TeamSettings,
  hooks: TeamHooks,
): Promise<DeviceModel> {
  const { watch = unwatched, building = realBuilding } = hooks;
  return building.withCheckpoint(folder, options.quant, watch, async (checkpoint) => {
    const team = await gather(gpu, checkpoint, { folder, options, settings, hooks });
    const info = infoOf(team.part, team);
    const model = modelOf(gpu, team.part, team.leader, info, options, hooks);
    return { ...model, dismiss: () => team.followers.unload() };
  });
}

function modelOf(
  gpu: Gpu,
  { config, runner, vision, destroy }: Part,
  taker: TurnTaker,
  info: DeviceModelInfo,
  { prefixCache = true, specialTokens = [] }: LoadOptions,
  { pulse, onStep }: LoadHooks,
): DeviceModel {
  const turns = new Turns(taker, vision, {
    ...{ chunk: pace(gpu.report.kind).chunk, states: config.layerTypes.includes("linear_attention") },
    ...{ prefixCache, specialTokens, strict: gpu.tuning.strict },
    ...(pulse && { pulse }),
    ...(onStep && { onStep }),
  });
  return { config, runner, vision, turns, info, dismiss: () => Promise.resolve(), destroy };
}

/** Of all ranks; `spread` is undefined where there is but one. */
type Loaded = Pick<Team, "plans" | "figures" | "parameters"> & { spread: ModelSpread | undefined };

function infoOf(
  { config, loader, runner, vision }: Part,
  { plans, figures, parameters, spread }: Loaded,
): DeviceModelInfo {
  const total = (figure: keyof PartFigures) => figures.reduce((sum, one) => sum + one[figure], 0);
  return {
    modelType: config.modelType,
    format: loader.checkpoint.format,
    quant: loader.mainFormat,
    vocabSize: config.vocab,
    embeddingWidth: config.pooling && config.hidden,
    contextLength: runner.contextLength,
    maxInFlight: runner.slots,
    parameters,
    weightBytes: total("weightBytes"),
    cacheBytes: total("cacheBytes"),
    scratchBytes: total("scratchBytes"),
    dispatchesPerToken: runner.decodeKernels.length,
    vision: vision?.info,
    spread,
    plans,
  };
}
