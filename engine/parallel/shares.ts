// A model's parts for several devices, whichever way it is spread: a part of every layer, or some of the layers.
import type { ModelConfig } from "../models/config.ts";
import { sharesOf, type RankShare } from "./slices.ts";
import type { Span } from "./split.ts";
import { stagesOf } from "./stages.ts";

export type Split =
  /** How much of every layer each has, in proportion. */
  | { readonly by: "tensor"; readonly weights: readonly number[] }
  /** Which layers each has. */
  | { readonly by: "pipeline"; readonly spans: readonly Span[] };

/** By rank. `block`: of the checkpoint (blockOf). Errors: as sharesOf. */
export function sharesIn(config: ModelConfig, split: Split, block: number): RankShare[] {
  if (split.by === "tensor") return sharesOf(config, split.weights, block);
  return stagesOf(config, split.spans).map((own, rank) => ({ rank, config: own, sliceOf: () => undefined }));
}
