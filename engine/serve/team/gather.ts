// Gathering the ranks of a model: what each gets, a plan that fits all of them, their loads side by side.
import type { MessagePort } from "node:worker_threads";
import { EngineError } from "../../errors.ts";
import type { Checkpoint } from "../../formats/checkpoint.ts";
import { capabilitiesOf, type Gpu } from "../../gpu/adapter.ts";
import type { DeviceReport } from "../../gpu/report.ts";
import { configOf } from "../../models/pooling.ts";
import { architectures } from "../../models/registry.ts";
import { visionTower } from "../../models/vision.ts";
import { AllReduce, createMeeting, type Wire } from "../../parallel/allReduce.ts";
import { blockOf, sharesOf, type RankShare } from "../../parallel/slices.ts";
import type { TeamHooks } from "../device.ts";
import type { MemoryBudget, MemoryPlan } from "../memoryPlan.ts";
import { figuresOf, loadPart, type Part, type PartFigures } from "../part.ts";
import { budgetFor, pace, planPlaces } from "../planModel.ts";
import type { LoadOptions } from "../types.ts";
import { towerOf } from "../vision.ts";
import { unwatched } from "../loadWatch.ts";
import { Pulse } from "../pulse.ts";
import { weigh } from "../weigh.ts";
import { Followers } from "./followers.ts";
import { Leader } from "./leader.ts";
import { heard } from "./heard.ts";
import type { RankOrder } from "./messages.ts";
import { together } from "./together.ts";

/** Of what a rank may let the others wait for a sum: what they may take to end their turn when one has failed. */
const drainShare = 1 / 6;

/** A device that takes part. */
export interface TeamPlace {
  report: DeviceReport;
  /** Bytes that other models of it may use. */
  promised: number;
  /** How much of the model it gets, in proportion to the others. */
  weight: number;
}

export interface TeamSettings {
  /** In the order of the ranks; the first leads. */
  places: readonly TeamPlace[];
  /** To the others. */
  ports: readonly MessagePort[];
  wire: Wire;
  /** How long a rank may let the others wait for a sum, ms. */
  limitMs: number;
}

/** A model on several devices, as the one that leads has it. */
export interface Team {
  leader: Leader;
  followers: Followers;
  part: Part;
  /** By rank. */
  plans: MemoryPlan[];
  figures: PartFigures[];
  /** Of the whole model. */
  parameters: number;
}

export interface Gathering {
  folder: string;
  options: LoadOptions;
  settings: TeamSettings;
  hooks: TeamHooks;
}

/**
 * Nothing stays allocated anywhere when it throws. Errors: unsupported_model where the model cannot be dealt so; those of
 * a load, of any rank.
 */
export async function gather(gpu: Gpu, checkpoint: Checkpoint, gathering: Gathering): Promise<Team> {
  const { settings } = gathering;
  const followers = new Followers(settings.ports);
  try {
    const weights = settings.places.map(({ weight }) => weight);
    const shares = await dealt(checkpoint, weights);
    const planning = planTeam(gpu, checkpoint, gathering.options, settings.places, shares);
    const { watch = unwatched } = gathering.hooks;
    const plans = await watch.during("planning its memory", planning);
    return await load(gpu, checkpoint, gathering, { followers, shares, plans });
  } catch (error) {
    await followers.unload();
    throw error;
  }
}

/** Errors: as sharesOf, configOf. */
export async function dealt(checkpoint: Checkpoint, weights: readonly number[]): Promise<RankShare[]> {
  return sharesOf(await configOf(checkpoint), weights, blockOf(checkpoint));
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

interface Ready {
  followers: Followers;
  shares: readonly RankShare[];
  plans: MemoryPlan[];
}

async function load(gpu: Gpu, checkpoint: Checkpoint, gathering: Gathering, ready: Ready): Promise<Team> {
  const { folder, options, settings, hooks } = gathering;
  const { pulse = new Pulse() } = hooks;
  const { followers, shares, plans } = ready;
  const { limitMs, wire, places } = settings;
  const capacity = pace(gpu.report.kind).chunk * shares[0]!.config.hidden;
  const meeting = createMeeting({ ranks: places.length, capacity, wire });
  const exchange = new AllReduce(meeting, 0, limitMs);
  const weights = places.map(({ weight }) => weight);
  const order = (rank: number): RankOrder => ({
    ...{ folder, options, rank, weights, meeting, limitMs, plan: plans[rank]! },
  });
  const member = { share: shares[0]!, exchange: heard(exchange, hooks.onSum) };
  // What follows is up to the others, whose own threads watch them.
  const own = loadPart(gpu, checkpoint, { options, plan: plans[0]!, member, ...hooks }).finally(() =>
    hooks.watch?.end(),
  );
  try {
    const others = followers.load(order);
    await together([own, ...others], () => undefined);
    const part = await own;
    await pulse.beat(() => {
      const works = [part.runner.warmUp(), ...followers.ask({ type: "warmUp" })];
      return together(works, (rank) => exchange.fail(rank), limitMs * drainShare);
    });
    const figures = [figuresOf(part), ...(await Promise.all(others)).map((one) => one!)];
    const drainMs = limitMs * drainShare;
    const leader = new Leader({ gpu, runner: part.runner, followers, exchange, drainMs, lost: hooks.lost });
    const parameters = await parametersOf(gpu, checkpoint);
    return { leader, followers, part, plans, figures, parameters };
  } catch (error) {
    await own.then(
      (part) => part.destroy(),
      () => undefined,
    );
    throw error;
  }
}

/** Of the whole model, whoever has them. */
async function parametersOf(gpu: Gpu, checkpoint: Checkpoint): Promise<number> {
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
