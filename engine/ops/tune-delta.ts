// How the autotune measures the delta rule: chunks and scan over a prompt of zeros, several times as for several layers.
import type { Gpu } from "../gpu/adapter.ts";
import type { Trial } from "../gpu/autotune.ts";
import { permanent } from "../gpu/tensor.ts";
import type { DeltaQuestion } from "../gpu/tuning.ts";
import { deltaChunks, deltaScan } from "./delta-chunk.ts";
import { createDeltaState, deltaWidths } from "./delta-state.ts";
import { chunkTokens } from "./delta-ways.ts";
import type { Made } from "./tune-trial.ts";

/** Multiply-adds of one layer. */
export function deltaWork({ T, keyDim, valueHeads, valueDim }: DeltaQuestion): number {
  return T * valueHeads * (valueDim * (3 * keyDim + chunkTokens) + 2 * chunkTokens * keyDim);
}

/** `count` layers, in the way that `gpu.tuning` says. */
export async function prepareDelta(
  made: Made,
  gpu: Gpu,
  question: DeltaQuestion,
  count: number,
): Promise<Trial> {
  const { T, keyHeads, valueHeads, keyDim, valueDim } = question;
  const config = { keyHeads, valueHeads, keyDim, valueDim, conv: 4 };
  const { channels, row } = deltaWidths(config);
  const zeros = (...shape: number[]) => made.keep(permanent(gpu, "tuned", shape));
  const [qkv, u] = [zeros(T, channels), zeros(T, row)];
  const gates = { A_log: zeros(valueHeads), dt_bias: zeros(valueHeads) };
  const state = createDeltaState(gpu, config);
  made.keep(state.memory);
  const recording = made.recording(gpu, { tokens: T, past: 0 });
  const outputs = Array.from({ length: count }, () =>
    deltaScan(recording, qkv, deltaChunks(recording, qkv, u, gates, config), config, state),
  );
  return made.trial(gpu, recording, outputs);
}
