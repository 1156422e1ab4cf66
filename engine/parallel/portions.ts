// What each rank has of a model's heads and units. Heads that share something stay together, and where a rank's columns
// of a matrix must be whole blocks, heads and units are dealt by as many as make them so.
import { EngineError } from "../errors.ts";
import type { DeltaSettings, HeadShare, ModelConfig } from "../models/config.ts";
import { deal, length, times, type Span } from "./split.ts";

/** The heads and units of one rank. */
export interface Portion {
  readonly heads: Span;
  readonly kvHeads: Span;
  /** Of the dense MLPs. */
  readonly units: Span;
  readonly experts: ExpertsPortion | undefined;
  readonly delta: DeltaPortion | undefined;
  /** Of the vocabulary; none of a model that makes embeddings. */
  readonly head: HeadShare | undefined;
}

/** Units of every expert; experts themselves are on all ranks. */
export interface ExpertsPortion {
  readonly units: Span;
  /** Of the expert that all tokens share. */
  readonly shared: Span | undefined;
}

export interface DeltaPortion {
  readonly keyHeads: Span;
  /** In the order of the checkpoint. */
  readonly valueHeads: readonly Span[];
}

/**
 * A portion for each weight. `block`: values of the largest block that a matrix cut by columns is stored in; 1: none is.
 * Errors: unsupported_model where something has too few parts for so many ranks, with the figures.
 */
export function portionsOf(config: ModelConfig, weights: readonly number[], block: number): Portion[] {
  const attention = dealAttention(config, weights, block);
  const units = config.intermediate > 0 ? dealUnits(config.intermediate, weights, block, "") : undefined;
  const experts = config.experts && dealExperts(config.experts, weights, block);
  const delta = config.delta && dealDelta(config.delta, weights, block);
  const head = config.pooling ? undefined : dealHead(config.vocab, weights);
  return weights.map((_, rank) => ({
    ...attention[rank]!,
    units: units?.[rank] ?? { from: 0, to: 0 },
    experts: experts?.[rank],
    delta: delta?.[rank],
    head: head && { rank, ...head },
  }));
}

/** Query heads that share a key head stay together; where there are fewer key heads than ranks, copies do. */
function dealAttention({ heads, kvHeads, headDim }: ModelConfig, weights: readonly number[], block: number) {
  const names = { many: "num_attention_heads", few: "num_key_value_heads" };
  const few = stepFor(kvHeads, (heads / kvHeads) * headDim, block, weights.length);
  const many = stepFor(heads, headDim, block, weights.length);
  const dealt = dealGroups({ many: heads, few: kvHeads }, weights, names, { many, few });
  return dealt.map((one) => ({ heads: one.many, kvHeads: one.few }));
}

function dealExperts(
  { intermediate, shared }: NonNullable<ModelConfig["experts"]>,
  weights: readonly number[],
  block: number,
): ExpertsPortion[] {
  const units = dealUnits(intermediate, weights, block, "moe_");
  const ofShared = shared && dealUnits(shared, weights, block, "shared_expert_");
  return weights.map((_, rank) => ({ units: units[rank]!, shared: ofShared ? ofShared[rank] : undefined }));
}

function dealDelta(delta: DeltaSettings, weights: readonly number[], block: number): DeltaPortion[] {
  const { keyHeads, valueHeads, valueDim, order } = delta;
  const names = { many: "linear_num_value_heads", few: "linear_num_key_heads" };
  const group = valueHeads / keyHeads;
  // Columns that lie together: of a key head's value heads, or of one of them in each round.
  const together = order === "grouped" ? group * valueDim : valueDim;
  const aligned = stepFor(keyHeads, together, block, weights.length);
  // The kernels want an even number of value heads.
  const few = (aligned * group) % 2 === 0 ? aligned : 2 * aligned;
  return dealGroups({ many: valueHeads, few: keyHeads }, weights, names, { many: 2, few }).map((one) => ({
    keyHeads: one.few,
    valueHeads: valueSpans(delta, one.many),
  }));
}

/** The fewest of `total` whose columns are whole blocks, where that leaves one such step for every rank; else 1. */
function stepFor(total: number, columns: number, block: number, ranks: number): number {
  for (let step = 1; step * ranks <= total; step += 1)
    if ((step * columns) % block === 0 && total % step === 0) return step;
  return 1;
}

/** Many heads, of which neighbouring ones share one of few: whole groups, or parts of one group; in such steps. */
function dealGroups(
  of: { many: number; few: number },
  weights: readonly number[],
  names: { many: string; few: string },
  step: { many: number; few: number },
): { many: Span; few: Span }[] {
  const group = of.many / of.few;
  if (of.few / step.few >= weights.length) {
    return dealSteps(of.few, step.few, weights, names.few).map((few) => ({ many: times(few, group), few }));
  }
  return dealSteps(of.many, step.many, weights, names.many).map((many) => {
    const [first, last] = [Math.floor(many.from / group), Math.floor((many.to - 1) / group)];
    if (first === last) return { many, few: { from: first, to: first + 1 } };
    const text = `${of.many} in groups of ${group} cannot be dealt to ${weights.length} devices`;
    throw new EngineError("unsupported_model", `${names.many}: ${text}: one would have parts of two groups`);
  });
}

function dealSteps(total: number, step: number, weights: readonly number[], what: string): Span[] {
  if (total % step !== 0) return deal(total, weights, what);
  const name = step === 1 ? what : `${what} in steps of ${step}`;
  return deal(total / step, weights, name).map((span) => times(span, step));
}

/** Whole blocks, and no fewer than kernels read at once; smaller steps for small models. */
function dealUnits(total: number, weights: readonly number[], block: number, kind: string): Span[] {
  const fits = (size: number) => total % size === 0 && total / size >= weights.length;
  const step = [Math.max(block, 32), 32, 1].find(fits) ?? 1;
  return dealSteps(total, step, weights, `${kind}intermediate_size`);
}

/** Rows of the head that kernels of a draw look at together, of which a rank should have some (ops/sample.ts), or fewer. */
const headSteps = [2048, 512, 128, 32];
const stepsOfRank = 4;

/**
 * Rows of the head in whole steps, so that what is known of a block of them is the same on one device and on several, as
 * far as the last, which may be short. Rows are never cut, so formats do not matter.
 */
function dealHead(vocab: number, weights: readonly number[]): Omit<HeadShare, "rank"> {
  const enough = (step: number) => vocab / step >= stepsOfRank * weights.length;
  const step = headSteps.find(enough) ?? headSteps.at(-1)!;
  const dealt = deal(Math.ceil(vocab / step), weights, `vocab_size in steps of ${step}`);
  const spans = dealt.map((span) => times(span, step));
  return { step, spans: [...spans.slice(0, -1), { from: spans.at(-1)!.from, to: vocab }] };
}

/**
 * Value heads, counted key head by key head, where the checkpoint has them: there too, or in rounds, each with one of
 * every key head.
 */
function valueSpans({ order, keyHeads, valueHeads }: DeltaSettings, counted: Span): Span[] {
  if (order === "grouped") return [counted];
  const group = valueHeads / keyHeads;
  const numbers = Array.from({ length: length(counted) }, (_, i) => counted.from + i);
  const places = numbers.map((n) => (n % group) * keyHeads + Math.floor(n / group)).sort((a, b) => a - b);
  return joined(places);
}

/** Neighbours are one span: what is cut between them would be cut within a block. */
function joined(places: readonly number[]): Span[] {
  const spans: Span[] = [];
  for (const place of places) {
    const last = spans.at(-1);
    if (last?.to === place) spans[spans.length - 1] = { from: last.from, to: place + 1 };
    else spans.push({ from: place, to: place + 1 });
  }
  return spans;
}
