// From logits to the next token. Order: logit_bias and penalties, temperature, top_k, top_p, min_p.
// That is Hugging Face transformers' order, whose settings the published generation_config.json files were tuned
// with: top_p looks at what top_k left, and temperature comes before both (llama.cpp cuts first and heats last, so
// the same numbers mean something colder there). logit_bias comes first, as in vLLM, so that a bias of -100 bans.
// A grammar's bans come before all of these: what top_k and top_p look at is what may come.

import { EngineError } from "../errors.ts";
import { randomSeed, uniform } from "./random.ts";
import { headOf, largest, within } from "./select.ts";
import type { Candidate, Sampling } from "./types.ts";

export interface Drawn {
  id: number;
  /** Natural logarithm of the probability that the model itself gave: before bias, penalties and temperature. */
  logprob?: number;
  /** The likeliest tokens, likeliest first. */
  top?: Candidate[];
}

/**
 * Takes the logits [V] of one position and draws; each call is the next step. Does not change the logits.
 * `allowed`: a bit for each token that may be drawn, bit i of word ⌊i/32⌋ for token i; default: all.
 */
export type Sampler = (logits: Float32Array, allowed?: Uint32Array) => Drawn;

/**
 * A sampler for one sequence. It remembers what it has drawn, for the penalties and the random numbers.
 * `topLogprobs` as in GenerateRequest. Throws EngineError internal when the logits hold NaN, +Infinity or nothing
 * finite.
 */
export function createSampler(
  sampling: Sampling,
  prompt: readonly number[],
  topLogprobs?: number | undefined,
): Sampler {
  const seed = sampling.seed ?? randomSeed();
  const adjust = createAdjuster(sampling, prompt);
  const pick = sampling.temperature === 0 ? undefined : createPicker(sampling);
  let step = 0;
  return (logits, allowed) => {
    const adjusted = adjust.apply(logits, allowed);
    const best = healthyArgmax(adjusted);
    const id = pick ? pick(adjusted, best, uniform(seed, step)) : best;
    step += 1;
    adjust.drew(id);
    return topLogprobs === undefined ? { id } : { id, ...logprobsOf(logits, id, topLogprobs) };
  };
}

interface Adjuster {
  apply(logits: Float32Array, allowed: Uint32Array | undefined): Float32Array;
  drew(id: number): void;
}

/** Bias and penalties touch few tokens: those named, and those seen. */
function createAdjuster(sampling: Sampling, prompt: readonly number[]): Adjuster {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
  const bias = Object.entries(sampling.logitBias).map(([id, value]) => [Number(id), value] as const);
  const repeats = repetitionPenalty !== 1;
  const counts = presencePenalty !== 0 || frequencyPenalty !== 0;
  const seen = new Set(repeats ? prompt : []);
  const drawn = new Map<number, number>();
  let scratch = new Float32Array(0);

  function apply(logits: Float32Array, allowed: Uint32Array | undefined): Float32Array {
    if (bias.length === 0 && !repeats && !counts && !allowed) return logits;
    if (scratch.length !== logits.length) scratch = new Float32Array(logits.length);
    scratch.set(logits);
    for (const [id, value] of bias) if (id < scratch.length) scratch[id]! += value;
    for (const id of seen) {
      const logit = scratch[id];
      if (logit !== undefined)
        scratch[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
    for (const [id, times] of drawn) scratch[id]! -= presencePenalty + frequencyPenalty * times;
    if (allowed) ban(scratch, allowed);
    return scratch;
  }

  function drew(id: number): void {
    if (repeats) seen.add(id);
    if (counts) drawn.set(id, (drawn.get(id) ?? 0) + 1);
  }
  return { apply, drew };
}

/** What is not allowed gets -Infinity, which is no part of a distribution, but NaN stays NaN: the model is sick. */
function ban(logits: Float32Array, allowed: Uint32Array): void {
  for (let i = 0; i < logits.length; i++)
    if (((allowed[i >> 5]! >>> (i & 31)) & 1) === 0 && logits[i]! < Infinity) logits[i] = -Infinity;
}

/** The lowest index of the largest logit, after a look at all of them. */
function healthyArgmax(logits: Float32Array): number {
  let best = -1;
  let high = -Infinity;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit > high) {
      high = logit;
      best = i;
    }
    // Only NaN makes this NaN: -Infinity is a banned token, and +Infinity shows in `high`.
    sum += logit === -Infinity ? 0 : logit * 0;
  }
  if (best < 0 || high === Infinity || Number.isNaN(sum)) throw unhealthy(logits);
  return best;
}

function unhealthy(logits: Float32Array): EngineError {
  const finite = logits.filter(Number.isFinite);
  const nan = logits.filter(Number.isNaN).length;
  const infinite = logits.length - finite.length - nan;
  const min = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const max = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const mean = finite.reduce((a, b) => a + b, 0) / finite.length;
  const figures = { count: logits.length, nan, infinite, min, max, mean };
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return new EngineError("internal", `logits unhealthy: ${text.join(", ")}`, figures);
}

type Picker = (logits: Float32Array, best: number, random: number) => number;

/** Draws from softmax(logits / temperature) cut by top_k, top_p and min_p; `random` is uniform in [0, 1). */
function createPicker({ temperature, topK, topP, minP }: Sampling): Picker {
  let indices = new Int32Array(0);
  let weights = new Float64Array(0);

  return (logits, best, random) => {
    if (indices.length !== logits.length) {
      indices = new Int32Array(logits.length);
      weights = new Float64Array(logits.length);
    }
    const high = logits[best]!;
    let kept = topIndices(logits, topK, indices);
    let total = 0;
    for (let n = 0; n < kept.length; n++) {
      const i = kept[n]!;
      total += weights[i] = Math.exp((logits[i]! - high) / temperature);
    }
    if (topP < 1) kept = within(logits, kept, headOf(logits, kept, weights, topP * total));
    // The largest weight is exp(0) = 1, so min_p's share of it is minP itself.
    if (minP > 0) kept = atLeast(weights, kept, minP);
    return draw(weights, kept, random);
  };
}

/** A short list is kept in order on the way through; for a long one, or all, the logits are binned. */
const SHORT_LIST = 64;

/** The topK largest logits (0: all) as ascending indices, without the banned ones. */
function topIndices(logits: Float32Array, topK: number, into: Int32Array): Int32Array {
  if (topK > 0 && topK <= SHORT_LIST) {
    const ids = largest(logits, topK).filter((id) => logits[id] !== -Infinity);
    into.set(ids.sort((a, b) => a - b));
    return into.subarray(0, ids.length);
  }
  const all = finiteIndices(logits, into);
  return topK > 0 && topK < all.length ? within(logits, all, headOf(logits, all, undefined, topK)) : all;
}

function finiteIndices(logits: Float32Array, into: Int32Array): Int32Array {
  let count = 0;
  for (let i = 0; i < logits.length; i++) if (logits[i] !== -Infinity) into[count++] = i;
  return into.subarray(0, count);
}

function atLeast(weights: Float64Array, candidates: Int32Array, least: number): Int32Array {
  let count = 0;
  for (const i of candidates) if (weights[i]! >= least) candidates[count++] = i;
  return candidates.subarray(0, count);
}

function draw(weights: Float64Array, candidates: Int32Array, random: number): number {
  let total = 0;
  for (let n = 0; n < candidates.length; n++) total += weights[candidates[n]!]!;
  let left = random * total;
  let last = candidates[0]!;
  for (const i of candidates) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    last = i;
    left -= weight;
    if (left < 0) break;
  }
  return last;
}

/** JSON has no -Infinity; OpenAI and vLLM say -9999 for what the model rules out. */
const LEAST_LOGPROB = -9999;

/** log softmax of the untouched logits, which is what OpenAI and vLLM (`raw_logprobs`) report. */
function logprobsOf(logits: Float32Array, id: number, count: number): { logprob: number; top: Candidate[] } {
  let high = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > high) high = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - high);
  const total = high + Math.log(sum);
  const logprob = (of: number) => Math.max(LEAST_LOGPROB, logits[of]! - total);
  return {
    logprob: logprob(id),
    top: largest(logits, count).map((candidate) => ({ id: candidate, logprob: logprob(candidate) })),
  };
}
