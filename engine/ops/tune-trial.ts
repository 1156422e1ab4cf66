// What the autotune's trials have in common: how much they compute, and what they allocate until they are over.
import type { Gpu } from "../gpu/adapter.ts";
import type { Trial } from "../gpu/autotune.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep, stepValues } from "../gpu/step.ts";
import { free, type Tensor, type Weight } from "../gpu/tensor.ts";

/** Of one weight, or cache: of a vocabulary a part will do. */
export const mostBytes = 64 * 2 ** 20;
/** What a run reads or computes, so that it is longer than what waiting for it blurs. */
export const runBytes = 256 * 2 ** 20;
export const runFlops = 2e10;
const mostOps = 16;

export function countOf(ops: number): number {
  return Math.min(mostOps, Math.max(1, Math.round(ops)));
}

/** What a trial allocates, until it is freed. */
export class Made {
  readonly #made: (Tensor | Weight)[] = [];

  /** Nothing stays allocated when `prepare` throws. */
  static async during(prepare: (made: Made) => Promise<Trial>): Promise<Trial> {
    const made = new Made();
    try {
      return await prepare(made);
    } catch (error) {
      free(...made.#made);
      throw error;
    }
  }

  keep<V extends Tensor | Weight>(value: V): V {
    this.#made.push(value);
    return value;
  }

  /** For so many tokens behind `past` others. */
  recording(gpu: Gpu, { tokens, past }: { tokens: number; past: number }): Recording {
    const step = this.keep(createStep(gpu, false));
    gpu.device.queue.writeBuffer(step.storage.buffer!, 0, stepValues({ tokens, past }));
    return new Recording(gpu, { capacity: tokens, step });
  }

  async trial(gpu: Gpu, recording: Recording, outputs: readonly Tensor[]): Promise<Trial> {
    const plan = await recording.finish(outputs.slice(-1));
    return {
      run: async () => {
        plan.submit(recording.capacity);
        await gpu.device.queue.onSubmittedWorkDone();
      },
      free: () => {
        plan.destroy();
        free(...this.#made);
      },
    };
  }
}
