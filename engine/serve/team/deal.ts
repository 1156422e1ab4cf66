// What each device of a team gets of a model, and whether it fits there.
import { EngineError } from "../../errors.ts";
import type { Checkpoint } from "../../formats/checkpoint.ts";
import { capabilitiesOf, type Gpu } from "../../gpu/adapter.ts";
import type { DeviceReport } from "../../gpu/report.ts";
import { configOf } from "../../models/pooling.ts";
import { architectures } from "../../models/registry.ts";
import { visionTower } from "../../models/vision.ts";
import { sharesIn, type Split } from "../../parallel/shares.ts";
import { blockOf, type RankShare } from "../../parallel/slices.ts";
import type { MemoryBudget, MemoryPlan } from "../memoryPlan.ts";
import { budgetFor, planPlaces } from "../planModel.ts";
import type { LoadOptions } from "../types.ts";
import { towerOf } from "../vision.ts";
import { weigh } from "../weigh.ts";
import { decideSplit, type Decided, type SplitOptions } from "./split.ts";

/** A device that takes part. */
export interface TeamPlace {
  report: DeviceReport;
  /** Bytes that other models of it may use. */
  promised: number;
  /** How much of the model it gets, in proportion to the others. */
  weight: number;
}

/** How it is spread over these. Errors: as decideSplit. */
export async function decided(
  gpu: Gpu,
  checkpoint: Checkpoint,
  { places, ...how }: Omit<SplitOptions, "places"> & { places: readonly TeamPlace[] },
): Promise<Decided> {
  const known = places.map(async (place) => ({
    weight: place.weight,
    budget: await budgetFor(place, how.options.memoryLimitMb, place.promised),
  }));
  const config = await configOf(checkpoint);
  return decideSplit(gpu, checkpoint, config, { ...how, places: await Promise.all(known) });
}

/** What each has. Errors: as sharesIn, configOf. */
export async function dealt(checkpoint: Checkpoint, split: Split): Promise<RankShare[]> {
  return sharesIn(await configOf(checkpoint), split, blockOf(checkpoint));
}

/** Of each rank. Errors: out_of_memory with the arithmetic and the rank. */
export async function planTeam(
  { tuning }: Pick<Gpu, "tuning">,
  checkpoint: Checkpoint,
  options: LoadOptions,
  places: readonly TeamPlace[],
  shares: readonly RankShare[],
): Promise<MemoryPlan[]> {
  const all = places.map(async (place, i) => ({
    like: { ...capabilitiesOf(place.report), tuning },
    budget: partOfBudget(place, places, await budgetFor(place, options.memoryLimitMb, place.promised)),
    share: shares[i]!,
  }));
  return planPlaces(await Promise.all(all), checkpoint, options);
}

/** Ranks on one device divide what there is as they divide the model. */
function partOfBudget(
  { report, weight }: TeamPlace,
  places: readonly TeamPlace[],
  budget: MemoryBudget | undefined,
): MemoryBudget | undefined {
  const same = places.filter((place) => place.report.index === report.index);
  if (!budget || same.length === 1) return budget;
  const bytes = Math.floor((budget.bytes * weight) / same.reduce((sum, place) => sum + place.weight, 0));
  return { bytes, source: `${budget.source}, shared by ${same.length} ranks` };
}

/** Of the whole model, whoever has them. */
export async function parametersOf(gpu: Gpu, checkpoint: Checkpoint): Promise<number> {
  const config = await configOf(checkpoint);
  const tower = towerOf(checkpoint, config);
  const { parameters } = await weigh(checkpoint, gpu, async (loader) => {
    await architectures[config.modelType](loader, config);
    if (tower) await visionTower(loader, tower);
  });
  return parameters;
}

/** Errors: bad_request where a card would share with a software adapter, whose pace is another. */
export function expectAlike(reports: readonly DeviceReport[]): void {
  const kinds = new Set(reports.map(({ kind }) => kind));
  if (kinds.size <= 1) return;
  const text = `devices ${reports.map(({ index, kind }) => `${index} (${kind})`).join(", ")} cannot share a model`;
  throw new EngineError("bad_request", `${text}: either all of them are GPUs, or none`, { param: "devices" });
}
