// How a model is spread over the devices of a team: as somebody said, or as is quicker by what was measured on them.
import { EngineError } from "../../errors.ts";
import type { Checkpoint } from "../../formats/checkpoint.ts";
import type { Gpu } from "../../gpu/adapter.ts";
import type { ModelConfig } from "../../models/config.ts";
import { architectures } from "../../models/registry.ts";
import { visionTower } from "../../models/vision.ts";
import { kvRowBytes } from "../../ops/kv-cache.ts";
import { chooseSplit } from "../../parallel/choice.ts";
import { sharesIn, type Split } from "../../parallel/shares.ts";
import { blockOf } from "../../parallel/slices.ts";
import { sliced } from "../../parallel/sliced.ts";
import { divideLayers, stagesOf, type StageCosts } from "../../parallel/stages.ts";
import { pageBytes, stateBytes, type MemoryBudget } from "../memoryPlan.ts";
import { pagesFor } from "../pages.ts";
import { defaultContextLength } from "../planModel.ts";
import type { LoadOptions } from "../types.ts";
import { towerOf } from "../vision.ts";
import { weigh } from "../weigh.ts";

/** A device of the team: what it has, and how much of that the model gets, in proportion to the others. */
export interface SplitPlace {
  budget: MemoryBudget | undefined;
  weight: number;
}

/** What was measured on the team. */
export interface Rehearsed {
  /** Of one token's hidden state, from device to device, ms. */
  sumMs: number;
  /** That a device reads. */
  bytesPerSecond: number;
}

export interface Decided {
  split: Split;
  why: string;
}

export interface SplitOptions {
  options: LoadOptions;
  places: readonly SplitPlace[];
  /** undefined: whatever is quicker. */
  by: Split["by"] | undefined;
  rehearse: (hidden: number) => Promise<Rehearsed>;
}

/** Errors: unsupported_model where the model cannot be spread so, with the figures. */
export async function decideSplit(
  gpu: Gpu,
  checkpoint: Checkpoint,
  config: ModelConfig,
  { options, places, by, rehearse }: SplitOptions,
): Promise<Decided> {
  const tensor: Split = { by: "tensor", weights: places.map(({ weight }) => weight) };
  if (by === "tensor") return { split: tensor, why: "every layer is shared: as asked" };
  const costs = await costsOf(gpu, checkpoint, config, options);
  const pipeline = (): Split => ({ by: "pipeline", spans: divideLayers(costs.held, roomOf(places)) });
  if (by === "pipeline") return { split: pipeline(), why: "layers are divided: as asked" };
  const not = {
    tensor: await obstacle(() => expectDealt(gpu, checkpoint, config, tensor)),
    pipeline: await obstacle(pipeline),
  };
  const { sumMs, bytesPerSecond } = await rehearse(config.hidden);
  const readMs = (1000 * costs.readBytes) / bytesPerSecond;
  const choice = chooseSplit({ devices: places.length, layers: config.layers, readMs, sumMs, not });
  if (!choice) throw new EngineError("unsupported_model", `${not.tensor}; and ${not.pipeline}`);
  return { split: choice.by === "tensor" ? tensor : pipeline(), why: choice.why };
}

/** Why the model cannot be spread in a way; undefined: it can. */
async function obstacle(attempt: () => unknown): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof EngineError && error.code === "unsupported_model") return error.message;
    throw error;
  }
}

/** Errors: unsupported_model where heads or units cannot be dealt, or blocks would be cut. */
async function expectDealt(
  gpu: Gpu,
  checkpoint: Checkpoint,
  config: ModelConfig,
  split: Split,
): Promise<void> {
  for (const share of sharesIn(config, split, blockOf(checkpoint)))
    await weigh(sliced(checkpoint, share), gpu, (loader) =>
      architectures[config.modelType](loader, share.config),
    );
}

/** In proportion to what the model may have of each device; where nobody knows of one, all are alike. */
function roomOf(places: readonly SplitPlace[]): number[] {
  const known = places.every(({ budget }) => budget !== undefined);
  return places.map(({ budget, weight }) => weight * (known ? Math.max(1, budget!.bytes) : 1));
}

interface Costs {
  /** Weights, and the memory of one sequence. */
  held: StageCosts;
  /** Of weights, by a token: all but the embedding, where the head is another matrix. */
  readBytes: number;
}

async function costsOf(
  gpu: Gpu,
  checkpoint: Checkpoint,
  config: ModelConfig,
  options: LoadOptions,
): Promise<Costs> {
  const bytesOf = async (own: ModelConfig) => {
    const tower = towerOf(checkpoint, own);
    const { bytes } = await weigh(checkpoint, gpu, async (loader) => {
      await architectures[own.modelType](loader, own);
      if (tower) await visionTower(loader, tower);
    });
    return bytes;
  };
  const headBytes = kvRowBytes(options.kvCache ?? "f32", config.headDim);
  const context = Math.min(config.maxPositions, options.contextLength ?? defaultContextLength);
  const layers: number[] = [];
  let weights = 0;
  for (let i = 0; i < config.layers; i += 1) {
    const [, own] = stagesOf(config, [
      { from: 0, to: i },
      { from: i, to: i + 1 },
    ]);
    const bytes = await bytesOf(own!);
    weights += bytes;
    layers.push(bytes + pagesFor(context) * pageBytes({ config: own!, headBytes }) + stateBytes(own!));
  }
  const [first] = stagesOf(config, [
    { from: 0, to: 0 },
    { from: 0, to: config.layers },
  ]);
  const ends = await bytesOf(first!);
  const head = checkpoint.entry(config.tied ? `${config.prefix}embed_tokens.weight` : "lm_head.weight").bytes;
  return { held: { layers, ends }, readBytes: weights + head };
}
