// A model whose layers are divided over devices: the first has the embedding, the first layers, and the norm and head
// behind the last (so tied embeddings are there once, and drawing happens where the request is), the others a run of
// layers each. One hidden state goes round the ring.
import { EngineError } from "../errors.ts";
import type { ModelConfig } from "../models/config.ts";
import { length, type Span } from "./split.ts";

/** Bytes on a device: of each layer, with what sequences remember in it, and of what the first stage has besides. */
export interface StageCosts {
  readonly layers: readonly number[];
  readonly ends: number;
}

/**
 * Runs of layers for devices of these budgets, bytes, so that the fullest is as empty as it can be; each at least one.
 * Of equally good divisions that with the later layers on the first devices' side.
 * Errors: unsupported_model with fewer layers than devices; out_of_memory with the sums where no division fits.
 */
export function divideLayers({ layers, ends }: StageCosts, budgets: readonly number[]): Span[] {
  const stages = budgets.length;
  if (layers.length < stages)
    throw new EngineError(
      "unsupported_model",
      `${layers.length} layers cannot be divided over ${stages} devices`,
    );
  const before = [0];
  for (const bytes of layers) before.push(before.at(-1)! + bytes);
  const fill = (stage: number, { from, to }: Span) =>
    ((stage === 0 ? ends : 0) + before[to]! - before[from]!) / budgets[stage]!;
  // best[to]: the least fill of the fullest of the stages so far, when they have the layers before `to`.
  let best = layers.map((_, i) => fill(0, { from: 0, to: i + 1 }));
  best.unshift(Infinity);
  const cuts: number[][] = [];
  for (let stage = 1; stage < stages; stage += 1) {
    const chosen = best.map((_, to) => bestCut(best, to, (from) => fill(stage, { from, to })));
    cuts.push(chosen.map(({ from }) => from));
    best = chosen.map(({ fullest }) => fullest);
  }
  const fullest = best[layers.length]!;
  const spans: Span[] = [];
  for (let stage = stages - 1, to = layers.length; stage >= 0; stage -= 1) {
    const from = stage === 0 ? 0 : cuts[stage - 1]![to]!;
    spans.unshift({ from, to });
    to = from;
  }
  if (fullest > 1) throw refusal({ layers, ends }, budgets, spans);
  return spans;
}

/** Where the last stage of a division of `to` layers should begin. */
function bestCut(best: readonly number[], to: number, fill: (from: number) => number) {
  let chosen = { from: 0, fullest: Infinity };
  for (let from = 1; from < to; from += 1) {
    const fullest = Math.max(best[from]!, fill(from));
    if (fullest <= chosen.fullest) chosen = { from, fullest };
  }
  return chosen;
}

function refusal(
  { layers, ends }: StageCosts,
  budgets: readonly number[],
  spans: readonly Span[],
): EngineError {
  const sums = spans.map(({ from, to }, i) =>
    layers.slice(from, to).reduce((sum, bytes) => sum + bytes, i === 0 ? ends : 0),
  );
  const needed = sums.reduce((sum, bytes) => sum + bytes, 0);
  const available = budgets.reduce((sum, bytes) => sum + bytes, 0);
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const each = sums.map(
    (bytes, i) => `device ${i}: ${length(spans[i]!)} layers, ${mib(bytes)} of ${mib(budgets[i]!)}`,
  );
  return new EngineError("out_of_memory", `the layers do not fit; ${each.join("; ")}`, { needed, available });
}

/** The model of each stage; its tensors have the checkpoint's own names. */
export function stagesOf(config: ModelConfig, spans: readonly Span[]): ModelConfig[] {
  return spans.map((span, number) => {
    const { experts, vision, ...whole } = config;
    return {
      ...whole,
      layers: length(span),
      layerTypes: config.layerTypes.slice(span.from, span.to),
      experts: experts && { ...experts, layers: experts.layers.slice(span.from, span.to) },
      stage: { number, stages: spans.length, firstLayer: span.from },
      vision: number === 0 ? vision : undefined,
    };
  });
}
