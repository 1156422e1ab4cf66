// Gathering the ranks of a model: what each gets, a plan that fits all of them, their loads side by side.
import type { MessagePort } from "node:worker_threads";
import type { Checkpoint } from "../../formats/checkpoint.ts";
import type { Gpu } from "../../gpu/adapter.ts";
import type { Wire } from "../../parallel/allReduce.ts";
import type { Split } from "../../parallel/shares.ts";
import type { RankShare } from "../../parallel/slices.ts";
import { length } from "../../parallel/split.ts";
import { createTable, takeSeat } from "../../parallel/table.ts";
import type { TeamHooks } from "../device.ts";
import { realBuilding } from "../building.ts";
import type { MemoryPlan } from "../memoryPlan.ts";
import { figuresOf, type Part, type PartFigures } from "../part.ts";
import { pace } from "../planModel.ts";
import type { LoadOptions, ModelSpread } from "../types.ts";
import { unwatched, type Watch } from "../loadWatch.ts";
import { Pulse } from "../pulse.ts";
import type { TeamPlace } from "./deal.ts";
import { Followers } from "./followers.ts";
import { Leader } from "./leader.ts";
import { heard } from "./heard.ts";
import type { RankOrder } from "./messages.ts";
import { rehearse } from "./rehearse.ts";
import { together } from "./together.ts";

/** Of what a rank may let the others wait for a sum: what they may take to end their turn when one has failed. */
const drainShare = 1 / 6;

export interface TeamSettings {
  /** In the order of the ranks; the first leads. */
  places: readonly TeamPlace[];
  /** To the others. */
  ports: readonly MessagePort[];
  wire: Wire;
  /** By parts of every layer, or by layers; undefined: whatever is quicker. */
  by: Split["by"] | undefined;
  /** How long a rank may let the others wait for it, ms. */
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
  spread: ModelSpread;
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
    const { options, hooks } = gathering;
    const { watch = unwatched, pulse = new Pulse(), building = realBuilding } = hooks;
    const deciding = building.decided(gpu, checkpoint, {
      ...{ options, places: settings.places, by: settings.by },
      rehearse: (hidden) => pulse.beat(() => rehearse(gpu, followers, settings, hidden)),
    });
    const { split, why } = await watch.during("deciding how it is spread", deciding);
    const shares = await building.dealt(checkpoint, split);
    const planning = building.planTeam(gpu, checkpoint, gathering.options, settings.places, shares);
    const plans = await watch.during("planning its memory", planning);
    return await load(gpu, checkpoint, gathering, { followers, split, why, shares, plans });
  } catch (error) {
    await followers.unload();
    throw error;
  }
}

interface Ready {
  followers: Followers;
  split: Split;
  why: string;
  shares: readonly RankShare[];
  plans: MemoryPlan[];
}

async function load(gpu: Gpu, checkpoint: Checkpoint, gathering: Gathering, ready: Ready): Promise<Team> {
  const { folder, options, settings, hooks } = gathering;
  const { pulse = new Pulse(), watch = unwatched, building = realBuilding } = hooks;
  const { followers, split, shares, plans } = ready;
  const { limitMs, wire, places } = settings;
  const capacity = pace(gpu.report.kind).chunk * shares[0]!.config.hidden;
  const table = createTable({ by: split.by, ranks: places.length, capacity, wire });
  const seat = takeSeat(table, 0, limitMs);
  const order = (rank: number): RankOrder => ({
    ...{ folder, options, rank, split, table, limitMs, plan: plans[rank]! },
  });
  const member = { share: shares[0]!, peers: heard(seat.peers, hooks.onSum) };
  // What follows is up to the others, whose own threads watch them.
  const own = building
    .loadPart(gpu, checkpoint, { options, plan: plans[0]!, member, ...hooks })
    .finally(() => watch.end());
  try {
    const others = followers.load(order);
    await together([own, ...others], () => undefined);
    const part = await own;
    hooks.onProgress?.({ ...part.progress, phase: "warming" });
    await watch.guard(compileInTurn(part, followers, watch, pulse));
    await pulse.beat(() => {
      const works = [part.runner.warmUp(), ...followers.ask({ type: "warmUp" })];
      return watch.guard(together(works, (rank) => seat.fail(rank), limitMs * drainShare));
    });
    const figures = [figuresOf(part), ...(await Promise.all(others)).map((one) => one!)];
    const drainMs = limitMs * drainShare;
    const leader = new Leader({ gpu, runner: part.runner, followers, seat, drainMs, lost: hooks.lost });
    const parameters = await building.parametersOf(gpu, checkpoint);
    hooks.onProgress?.(part.progress);
    return { leader, followers, part, plans, figures, parameters, spread: spreadOf(ready) };
  } catch (error) {
    seat.fail();
    await own.then(
      (part) => part.destroy(),
      () => undefined,
    );
    throw error;
  }
}

/** Parts alike have the same kernels, and what one has compiled the driver's cache spares the next. */
async function compileInTurn(own: Part, followers: Followers, watch: Watch, pulse: Pulse): Promise<void> {
  const over = () => watch.error !== undefined;
  await own.runner.compile({ over, step: (work) => pulse.beat(work) });
  if (!over()) await followers.askInTurn({ type: "compile" });
}

function spreadOf({ split, why }: Ready): ModelSpread {
  if (split.by === "tensor") return { by: split.by, why };
  return { by: split.by, why, layers: split.spans.map(length) };
}
