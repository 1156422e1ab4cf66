// What a checkpoint will occupy on a device, and how much context and how many sequences that leaves room for: decided
// before anything is allocated there. All sizes come from a device that only counts (counting.ts).
import { EngineError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { deviceMemory } from "../gpu/memory.ts";
import { mostSequences } from "../gpu/step.ts";
import type { Peers } from "../gpu/pass.ts";
import { permanent } from "../gpu/tensor.ts";
import { defaultImageLimits } from "../image/limits.ts";
import type { ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { createMemory } from "../models/memory.ts";
import { kvRowBytes, type KvFormat } from "../ops/kv-cache.ts";
import { recordBytes } from "../ops/sample.ts";
import type { Network } from "../models/network.ts";
import { configOf } from "../models/pooling.ts";
import { architectures } from "../models/registry.ts";
import { sliceFor } from "../parallel/allReduce.ts";
import { sliced } from "../parallel/sliced.ts";
import type { RankShare } from "../parallel/slices.ts";
import { countingGpu } from "./counting.ts";
import { createDraws, partRowBytes } from "./draw/draws.ts";
import {
  budgetOf,
  pageBytes,
  planMemory,
  planOf,
  stateBytes,
  type MemoryBudget,
  type MemoryPlan,
  type PlanRequest,
} from "./memoryPlan.ts";
import { PAGE, pagesFor } from "./pages.ts";
import { recordPlans } from "./plans.ts";
import type { LoadOptions } from "./types.ts";
import { loadVision, towerOf } from "./vision.ts";
import { headersOf } from "./weigh.ts";

/** Of a device that is open or was: what its limits and features make of a model. */
export type DeviceLike = Pick<Gpu, "limits" | "report" | "has" | "subgroupSize" | "tuning">;

/** Context where neither the request nor the checkpoint asks for less. */
export const defaultContextLength = 8192;
/** Sequences at once where nobody says otherwise. */
const defaultSlots = { software: 4, hardware: 8 };
/** What caches may always have, and of a card's memory that is left behind the weights the share that they may have. */
const leastCacheBytes = 2 ** 30;
const cacheShare = 1 / 2;

/** What saved states of delta nets may take, and how many are enough. */
const snapshotBytes = { software: 2 ** 28, hardware: 2 ** 30 };
const enoughSnapshots = 64;

/** How a model is run on a kind of device. */
export interface Pace {
  /** Most tokens of a prefill run. */
  chunk: number;
  /**
   * Most arithmetic of a submit, FLOP: drivers kill what takes two seconds, and the slowest cards do a tenth of 10¹² a
   * second. A fast one loses some microseconds of each millisecond.
   */
  flopsPerSubmit: number;
  /** Turns that begin before the results of those ahead of them are there. */
  ahead: number;
}

export function pace(kind: "software" | "hardware"): Pace {
  const software = { chunk: 256, flopsPerSubmit: 2e10 };
  return { ...(kind === "software" ? software : { chunk: 512, flopsPerSubmit: 1e11 }), ahead: 2 };
}

/** `promised`: bytes that other models of the device may use. */
export async function budgetFor(
  { report }: Pick<Gpu, "report">,
  limitMb: number | undefined,
  promised = 0,
): Promise<MemoryBudget | undefined> {
  const known = limitMb === undefined && report.backend !== "null" ? await deviceMemory(report) : undefined;
  return budgetOf(known, limitMb, promised);
}

/** A device that is to have a model, or one rank's share of it. */
export interface Place {
  like: DeviceLike;
  budget: MemoryBudget | undefined;
  /** Default: all. */
  share?: RankShare | undefined;
}

/** Errors: out_of_memory with the arithmetic; bad_request; those of a bad checkpoint. */
export async function planModel(
  like: DeviceLike,
  checkpoint: Checkpoint,
  options: LoadOptions,
  budget: MemoryBudget | undefined,
): Promise<MemoryPlan> {
  const [plan] = await planPlaces([{ like, budget }], checkpoint, options);
  return plan!;
}

/** The same by what is free on the device now. Errors: as planModel. */
export async function planAlone(
  gpu: Gpu,
  checkpoint: Checkpoint,
  options: LoadOptions,
  promised?: number,
): Promise<MemoryPlan> {
  return planModel(gpu, checkpoint, options, await budgetFor(gpu, options.memoryLimitMb, promised));
}

/**
 * The plan of each device that has a part of a model: as many sequences, pages and snapshots on all of them, and so the
 * largest numbers that fit on each. Errors: as planModel, with the rank.
 */
export async function planPlaces(
  places: readonly Place[],
  checkpoint: Checkpoint,
  options: LoadOptions,
): Promise<MemoryPlan[]> {
  const wanted = options.maxInFlight ?? defaultSlots[places[0]!.like.report.kind];
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > mostSequences) {
    throw new EngineError("bad_request", `${wanted} sequences at once; 1 to ${mostSequences} can be run`);
  }
  const models: Sizes[] = [];
  for (const place of places) models.push(await sizesOf(place, checkpoint, options));
  for (let slots = wanted; ; slots -= 1) {
    const last = slots === 1 || options.maxInFlight !== undefined;
    try {
      const plans: MemoryPlan[] = [];
      for (const model of models) plans.push(await planSlots(model, slots));
      // A whole context for one comes before many with less.
      if (last || plans.every((plan, i) => plan.contextLength === models[i]!.contextLength))
        return await agreed(models, plans);
    } catch (error) {
      if (last || !(error instanceof EngineError) || error.code !== "out_of_memory") throw error;
    }
  }
}

/** What fits on all of them. */
async function agreed(models: readonly Sizes[], plans: readonly MemoryPlan[]): Promise<MemoryPlan[]> {
  if (models.length === 1) return [...plans];
  const least = (figure: (plan: MemoryPlan) => number) => Math.min(...plans.map(figure));
  const amounts = {
    contextLength: least((plan) => plan.contextLength),
    pages: least((plan) => plan.pages),
    snapshots: least((plan) => plan.snapshots),
  };
  const { slots } = plans[0]!;
  const all: MemoryPlan[] = [];
  for (const model of models) all.push(planOf(await requestOf(model, slots, amounts.contextLength), amounts));
  return all;
}

interface Sizes {
  name: string;
  like: DeviceLike;
  budget: MemoryBudget | undefined;
  rank: number;
  peers: Peers;
  config: ModelConfig;
  network: Network;
  weightBytes: number;
  towerBytes: number;
  pictureBytes: number;
  hasPictures: boolean;
  /** As asked for. */
  asked: number | undefined;
  /** What is best. */
  contextLength: number;
  /** Caches may take all that is there: somebody said for how many sequences they are. */
  unbounded: boolean;
  prefixCache: boolean;
  kvFormat: KvFormat;
}

async function sizesOf(
  { like, budget, share }: Place,
  checkpoint: Checkpoint,
  options: LoadOptions,
): Promise<Sizes> {
  const config = share?.config ?? (await configOf(checkpoint));
  const weights = countingGpu(like);
  const loader = new Loader(weights.gpu, headersOf(share ? sliced(checkpoint, share) : checkpoint));
  const network = await architectures[config.modelType](loader, config);
  const contextLength = Math.min(config.maxPositions, options.contextLength ?? defaultContextLength);
  const tower = countingGpu(like);
  const cacheBytes = options.imageCacheBytes ?? defaultImageLimits.cacheBytes;
  const { flopsPerSubmit } = pace(like.report.kind);
  const visionOptions = { contextLength, flopsPerSubmit, cacheBytes };
  const rank = share?.rank ?? 0;
  const hasPictures = towerOf(checkpoint, config) !== undefined;
  if (rank === 0) await loadVision(tower.gpu, checkpoint, loader, config, visionOptions);
  return {
    name: share ? `${checkpoint.folder}, rank ${rank} on ${like.report.name}` : checkpoint.folder,
    peers: share ? countingPeers(rank, config, pace(like.report.kind).chunk) : {},
    ...{ like, budget, rank, hasPictures, config, network, asked: options.contextLength, contextLength },
    ...{ weightBytes: weights.counted.bytes, towerBytes: tower.counted.bytes },
    pictureBytes: hasPictures && rank === 0 ? cacheBytes : 0,
    unbounded: options.maxInFlight !== undefined,
    ...{ prefixCache: options.prefixCache ?? true, kvFormat: options.kvCache ?? "f32" },
  };
}

/** Of a rank whose plans are only counted. */
function countingPeers(rank: number, { hidden, stage }: ModelConfig, chunk: number): Peers {
  const never = () => {
    throw new Error("a meeting on a device that only counts");
  };
  if (stage) return { relay: { send: never, receive: never } };
  const times = { sums: 0, computingMs: 0, readbackMs: 0, waitingMs: 0, reducingMs: 0 };
  return {
    exchange: { rank, slice: sliceFor(hidden * chunk), times, give: never, take: never, gather: never },
  };
}

async function planSlots(model: Sizes, slots: number): Promise<MemoryPlan> {
  const plan = planMemory(await requestOf(model, slots, model.contextLength));
  if (plan.contextLength === model.contextLength) return plan;
  // What a shorter context computes with is less, and then all of it is known to the byte.
  const shorter = await requestOf(model, slots, plan.contextLength);
  return planMemory({ ...shorter, contextLength: plan.contextLength });
}

async function requestOf(model: Sizes, slots: number, contextLength: number): Promise<PlanRequest> {
  const { config, like, weightBytes, pictureBytes, budget } = model;
  const scratchBytes = model.towerBytes + (await runBytes(model, slots, contextLength));
  const headBytes = kvRowBytes(model.kvFormat, config.headDim);
  const left = (budget?.bytes ?? 0) - weightBytes - scratchBytes;
  const share = like.report.kind === "hardware" ? left * cacheShare : 0;
  const most = model.unbounded ? Infinity : Math.max(weightBytes, leastCacheBytes, share);
  const room = most - slots * stateBytes(config);
  const tokens = Math.floor((room * PAGE) / Math.max(1, pageBytes({ config, headBytes })));
  return {
    ...{ model: model.name, config, weightBytes, scratchBytes, pictureBytes, slots, headBytes, budget },
    stagingBytes:
      (pace(like.report.kind).ahead + 1) * turnBytes(config, slots) + slots * partRowBytes(like, config),
    contextLength: model.asked,
    defaultContext: defaultContextLength,
    cacheTokens: Math.min(slots * pagesFor(contextLength) * PAGE, Math.max(contextLength, tokens)),
    // One is for several answers to a prompt, whether or not anything is kept for prompts to come.
    snapshotBytes: model.prefixCache
      ? Math.min(snapshotBytes[like.report.kind], enoughSnapshots * stateBytes(config))
      : stateBytes(config),
    maxBinding: Math.min(like.limits.maxStorageBufferBindingSize, like.limits.maxBufferSize),
  };
}

/** What comes back of a turn at most. */
function turnBytes(config: ModelConfig, slots: number): number {
  return (slots + 1) * (config.pooling ? 4 * config.hidden : recordBytes);
}

/** What a run reads and writes besides weights and memory, and what pages are copied through. */
async function runBytes(
  { like, config, network, peers, hasPictures, kvFormat }: Sizes,
  slots: number,
  contextLength: number,
): Promise<number> {
  const aside = countingGpu(like);
  const memory = createMemory(aside.gpu, config, {
    ...{ capacity: contextLength, slots, pages: 1, format: kvFormat },
  });
  const rope = permanent(aside.gpu, "rope", [contextLength, config.rope.dims / 2, 2]);
  const { gpu, counted } = countingGpu(like);
  const { chunk } = pace(like.report.kind);
  const { memory: draws } = await createDraws(gpu, config, slots);
  const pictureWidth = hasPictures ? config.hidden : undefined;
  await recordPlans(gpu, network, { memory, draws, rope }, { chunk, slots, ...peers, pictureWidth });
  return counted.bytes + memory.bounce.storage.buffer!.size;
}
