// How the autotune measures the delta rule: chunks and scan over a prompt, several times as for several layers.
import type { Gpu } from "../gpu/adapter.ts";
import type { Recording } from "../gpu/recording.ts";
import { permanent } from "../gpu/tensor.ts";
import type { DeltaQuestion } from "../gpu/tuning.ts";
import { deltaChunks, deltaScan } from "./delta-chunk.ts";
import { createDeltaState, deltaWidths } from "./delta-state.ts";
import { chunkTokens } from "./delta-ways.ts";
import { countOf, fill, runFlops, type Keep, type Work } from "./tune-trial.ts";

/** Multiply-adds of one layer. */
export function deltaWork({ T, keyDim, valueHeads, valueDim }: DeltaQuestion): number {
  return T * valueHeads * (valueDim * (3 * keyDim + chunkTokens) + 2 * chunkTokens * keyDim);
}

/** Some layers with one state. */
export function deltaTrial(gpu: Gpu, question: DeltaQuestion, keep: Keep): Work {
  const count = countOf(runFlops / (2 * deltaWork(question)));
  const { T, keyHeads, valueHeads, keyDim, valueDim } = question;
  const config = { keyHeads, valueHeads, keyDim, valueDim, conv: 4 };
  const { channels, row } = deltaWidths(config);
  const zeros = (...shape: number[]) => keep(permanent(gpu, "tuned", shape));
  const [qkv, u] = [zeros(T, channels), zeros(T, row)];
  const gates = { A_log: zeros(valueHeads), dt_bias: zeros(valueHeads) };
  fill(gpu, qkv, u, gates.A_log, gates.dt_bias);
  const state = createDeltaState(gpu, config);
  keep(state.memory);
  const record = (recording: Recording) =>
    Array.from({ length: count }, () =>
      deltaScan(recording, qkv, deltaChunks(recording, qkv, u, gates, config), config, state),
    );
  return { tokens: T, past: 0, record };
}
