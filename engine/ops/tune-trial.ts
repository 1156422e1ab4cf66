// What the autotune's trials have in common: how much they compute, and what they allocate until they are over. The ways of
// a question run on the same weights, or caches: a card may have little room left when a model is loaded.
import type { Run, Trials } from "../gpu/autotune.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep, stepValues } from "../gpu/step.ts";
import { allocating, free, type Tensor, type Weight } from "../gpu/tensor.ts";
import { Tuning } from "../gpu/tuning.ts";
import { EngineError } from "../errors.ts";

/** Of one weight, or cache: of a vocabulary a part will do. */
export const mostBytes = 64 * 2 ** 20;
/** What a run reads or computes, so that it is longer than what waiting for it blurs. */
export const runBytes = 256 * 2 ** 20;
export const runFlops = 2e10;
const mostOps = 16;

export function countOf(ops: number): number {
  return Math.min(mostOps, Math.max(1, Math.round(ops)));
}

/** Keeps what all ways of a question share, until they are over. */
export type Keep = <V extends Tensor | Weight>(value: V) => V;

export interface Work {
  tokens: number;
  /** Tokens behind which they are. */
  past: number;
  /** Records some layers, in the way that the recording's device answers. */
  record(recording: Recording): readonly Tensor[];
}

/**
 * The ways ready to run; undefined where the device has no room, and then nothing stays allocated, nor when it throws.
 * Within `allocating` of a load: what is short here is not short there.
 */
export async function trialsOf(
  gpu: Gpu,
  ways: readonly string[],
  prepare: (keep: Keep) => Work,
): Promise<Trials | undefined> {
  const made: (Tensor | Weight)[] = [];
  const plans: Plan[] = [];
  const release = () => {
    for (const plan of plans) plan.destroy();
    free(...made);
  };
  const keep: Keep = (value) => (made.push(value), value);
  try {
    const runs = await allocating(gpu, async () => {
      const work = prepare(keep);
      const step = keep(createStep(gpu, false));
      gpu.device.queue.writeBuffer(step.storage.buffer!, 0, stepValues(work));
      return Promise.all(ways.map((way) => runOf(gpu, way, { work, step, plans })));
    });
    return { runs, free: release };
  } catch (error) {
    release();
    if (error instanceof EngineError && error.code === "out_of_memory") return undefined;
    throw error;
  }
}

/** undefined where it does not compile. */
async function runOf(
  gpu: Gpu,
  way: string,
  { work, step, plans }: { work: Work; step: Tensor; plans: Plan[] },
): Promise<Run | undefined> {
  try {
    const answered = { ...gpu, tuning: Tuning.only(way) };
    const recording = new Recording(answered, { capacity: work.tokens, step });
    const plan = await recording.finish(work.record(recording).slice(-1));
    plans.push(plan);
    return async () => {
      plan.submit(work.tokens);
      await gpu.device.queue.onSubmittedWorkDone();
    };
  } catch {
    return undefined;
  }
}
