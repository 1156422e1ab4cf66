// What a model would take of a host's devices, with nothing else there and nothing loaded.
import { EngineError } from "../errors.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu, type GpuOptions } from "../gpu/adapter.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import { planAlone } from "./planModel.ts";
import { checkSpread, choosePlaces, wayOf, type Spread } from "./spread.ts";
import { dealt, decided, expectAlike, planTeam, type TeamPlace } from "./team/deal.ts";
import type { LoadOptions } from "./types.ts";

/** What would be, of each device that would have a part. */
export interface Planned {
  plans: MemoryPlan[];
  /** How it is spread; undefined: it is on one. */
  why: string | undefined;
}

/** Of what is at `path`. Errors: as of a load; bad_config for the spread. */
export async function planLoad(
  path: string,
  options: LoadOptions,
  devices: readonly GpuOptions[],
  spread: Spread = {},
): Promise<Planned> {
  checkSpread(spread, devices.length);
  const checkpoint = await openCheckpoint(path, options.quant);
  const gpus: Gpu[] = [];
  try {
    for (const device of devices) gpus.push(await openGpu(device, () => undefined));
    return await plansOn(gpus, checkpoint, options, spread);
  } finally {
    for (const gpu of gpus) gpu.destroy();
    await checkpoint.close();
  }
}

async function plansOn(
  gpus: readonly Gpu[],
  checkpoint: Checkpoint,
  options: LoadOptions,
  spread: Spread,
): Promise<Planned> {
  const indices = gpus.map(({ report }) => report.index);
  const chosen = choosePlaces(
    indices,
    indices.map(() => 0),
    spread,
    options,
  );
  const places = chosen.map(({ place, weight }) => ({ report: gpus[place]!.report, promised: 0, weight }));
  if (places.length === 1) {
    const plan = await planAlone(gpus[chosen[0]!.place]!, checkpoint, options);
    return { plans: [plan], why: undefined };
  }
  expectAlike(places.map(({ report }) => report));
  return planSpread(gpus[0]!, checkpoint, options, places, wayOf(spread, options));
}

/** What is quicker is measured by a load: until then every layer is shared, where that can be. */
async function planSpread(
  gpu: Gpu,
  checkpoint: Checkpoint,
  options: LoadOptions,
  places: readonly TeamPlace[],
  asked: ReturnType<typeof wayOf>,
): Promise<Planned> {
  const planBy = async (by: "tensor" | "pipeline"): Promise<Planned> => {
    const { split, why } = await decided(gpu, checkpoint, { options, places, by, rehearse: never });
    const plans = await planTeam(gpu, checkpoint, options, places, await dealt(checkpoint, split));
    return { plans, why };
  };
  if (asked !== undefined) return planBy(asked);
  try {
    const why = "every layer is shared, unless a load finds dividing them quicker";
    return { ...(await planBy("tensor")), why };
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== "unsupported_model") throw error;
    return { ...(await planBy("pipeline")), why: `layers are divided: ${error.message}` };
  }
}

function never(): Promise<never> {
  return Promise.reject(new Error("a plan measures nothing"));
}
