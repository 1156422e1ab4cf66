// What a model would take of a host's devices, with nothing else there and nothing loaded.
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu, type GpuOptions } from "../gpu/adapter.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import { budgetFor, planModel } from "./planModel.ts";
import { checkSpread, choosePlaces, type Spread } from "./spread.ts";
import { dealt, expectAlike, planTeam } from "./team/gather.ts";
import type { LoadOptions } from "./types.ts";

/** Of each device that would have a part of what is at `path`. Errors: as of a load; bad_config for the spread. */
export async function planLoad(
  path: string,
  options: LoadOptions,
  devices: readonly GpuOptions[],
  spread: Spread = {},
): Promise<MemoryPlan[]> {
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
): Promise<MemoryPlan[]> {
  const indices = gpus.map(({ report }) => report.index);
  const chosen = choosePlaces(
    indices,
    indices.map(() => 0),
    spread,
    options,
  );
  const places = chosen.map(({ place, weight }) => ({ report: gpus[place]!.report, promised: 0, weight }));
  if (places.length === 1) {
    const gpu = gpus[chosen[0]!.place]!;
    return [await planModel(gpu, checkpoint, options, await budgetFor(gpu, options.memoryLimitMb))];
  }
  expectAlike(places.map(({ report }) => report));
  const weights = chosen.map(({ weight }) => weight);
  return planTeam(gpus[0]!, checkpoint, options, places, await dealt(checkpoint, weights));
}
