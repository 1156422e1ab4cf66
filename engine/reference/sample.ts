// The twin of ops/sample.ts: from logits to the next token by sorting all of them, in f64.
// Order: logit_bias and penalties, temperature, top_k, top_p, min_p. That is Hugging Face transformers' order, whose
// settings the published generation_config.json files were tuned with: top_p looks at what top_k left, and temperature
// comes before both (llama.cpp cuts first and heats last, so the same numbers mean something colder there). logit_bias
// comes first, as in vLLM, so that a bias of -100 bans. A grammar's bans come before all of these: what top_k and top_p
// look at is what may come.
import type { Draw, DrawStart, Illness } from "../ops/sample.ts";
import { uniform } from "./random.ts";

/** What may still be drawn, and its share of the largest weight. */
interface Weighted {
  id: number;
  weight: number;
}

/**
 * A sampler of one sequence, which remembers what it has drawn. Each call takes the logits [V] of the next position,
 * and a bit for each token that may be drawn, bit i of word ⌊i/32⌋ for token i (default: all).
 */
export function createSampler(start: Omit<DrawStart, "masked">) {
  const { sampling, candidates } = start;
  const drawn = [...start.drawn];
  return (logits: Float32Array, allowed?: Uint32Array): Draw => {
    const adjusted = adjust(logits, start, drawn, allowed);
    const ill = illnessOf(adjusted);
    if (ill) return { id: argmax(adjusted), ill };
    const cut = cutHead(adjusted, sampling);
    const id =
      sampling.temperature === 0 ? argmax(adjusted) : draw(cut, uniform(sampling.seed, drawn.length));
    drawn.push(id);
    return candidates === undefined ? { id } : { id, ...probabilities(logits, id, candidates) };
  };
}

/** The logits as they are drawn from, in f32. */
export function adjust(
  logits: Float32Array,
  { sampling, prompt }: Pick<DrawStart, "sampling" | "prompt">,
  drawn: readonly number[],
  allowed?: Uint32Array,
): Float32Array {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const adjusted = logits.slice();
  for (const [id, bias] of Object.entries(logitBias))
    if (Number(id) < adjusted.length) adjusted[Number(id)]! += bias;
  for (const id of new Set([...prompt, ...drawn])) {
    const logit = adjusted[id];
    if (logit !== undefined) adjusted[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  }
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    const times = new Map<number, number>();
    for (const id of drawn) times.set(id, (times.get(id) ?? 0) + 1);
    for (const [id, count] of times) adjusted[id]! -= presencePenalty + frequencyPenalty * count;
  }
  // NaN and +Infinity stay: the model is sick.
  const banned = (id: number) => allowed && ((allowed[id >> 5]! >>> (id & 31)) & 1) === 0;
  return adjusted.map((logit, id) => (banned(id) && logit < Infinity ? -Infinity : logit));
}

/** What temperature, top_k, top_p and min_p leave, in the order of ids; the largest weight is 1. */
export function cutHead(
  logits: Float32Array,
  { temperature, topK, topP, minP }: DrawStart["sampling"],
): Weighted[] {
  const order = [...logits.keys()].filter((id) => logits[id] !== -Infinity);
  order.sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (topK > 0) order.length = Math.min(order.length, topK);
  const weigh = (id: number) => ({ id, weight: Math.exp((logits[id]! - logits[order[0]!]!) / temperature) });
  let head = order.map(weigh);
  if (topP < 1) {
    const limit = topP * head.reduce((sum, { weight }) => sum + weight, 0);
    let sum = 0;
    const end = head.findIndex(({ weight }) => (sum += weight) >= limit);
    if (end >= 0) head = head.slice(0, end + 1);
  }
  return head.filter(({ weight }) => weight >= minP).sort((a, b) => a.id - b.id);
}

/** The first whose running sum is above random · the whole. */
function draw(head: readonly Weighted[], random: number): number {
  const limit = random * head.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const possible = head.filter(({ weight }) => weight > 0);
  return (possible.find(({ weight }) => (sum += weight) > limit) ?? possible.at(-1)!).id;
}

/** The index of the largest value, the lowest of equals; NaN never wins (0 if all are). */
export function argmax(values: ArrayLike<number>): number {
  let best = -1;
  for (let i = 0; i < values.length; i++)
    if (!Number.isNaN(values[i]!) && (best < 0 || values[i]! > values[best]!)) best = i;
  return Math.max(best, 0);
}

function illnessOf(logits: Float32Array): Illness | undefined {
  const finite = logits.filter(Number.isFinite);
  const nan = logits.filter(Number.isNaN).length;
  if (finite.length > 0 && nan === 0 && !logits.includes(Infinity)) return undefined;
  const mean = finite.reduce((a, b) => a + b, 0) / finite.length;
  const min = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const max = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  return { count: logits.length, nan, infinite: logits.length - finite.length - nan, min, max, mean };
}

/** log softmax of the untouched logits, which is what OpenAI and vLLM (`raw_logprobs`) report. */
function probabilities(logits: Float32Array, id: number, count: number): Pick<Draw, "logprob" | "top"> {
  const high = logits[argmax(logits)]!;
  const total = high + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - high), 0));
  const logprob = (of: number) => Math.max(-9999, logits[of]! - total);
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  return { logprob: logprob(id), top: order.slice(0, count).map((of) => ({ id: of, logprob: logprob(of) })) };
}
