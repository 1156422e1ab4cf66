// Measures what the ops of a model have asked and nobody knows: each open question as the op that asks it, on weights, or
// a cache, or a state, of its shape.
import type { Gpu } from "../gpu/adapter.ts";
import { search, type Trial } from "../gpu/autotune.ts";
import { permanent, weightRowBytes, type WeightFormat } from "../gpu/tensor.ts";
import { asksAttention, asksDelta, Tuning, type ProductQuestion, type Question } from "../gpu/tuning.ts";
import { createWeight } from "../gpu/weight.ts";
import { linear, normLinear } from "./linear.ts";
import { attentionWork, prepareAttention } from "./tune-attention.ts";
import { deltaWork, prepareDelta } from "./tune-delta.ts";
import { countOf, Made, mostBytes, runBytes, runFlops } from "./tune-trial.ts";

/** How long a load may take longer, ms. */
export const tuneLimitMs = 5000;

/** Measures what `gpu.tuning` has open, by what takes longest first, and lets it learn. */
export async function tune(gpu: Gpu, limitMs = tuneLimitMs): Promise<void> {
  const open = [...gpu.tuning.open].sort((a, b) => workOf(b.question) - workOf(a.question));
  const found = await search(open, {
    prepare: (question, way) => prepare({ ...gpu, tuning: Tuning.only(way) }, question),
    limitMs,
    now: () => performance.now(),
  });
  gpu.tuning.learn(found);
}

/** Multiply-adds. */
function workOf(question: Question): number {
  if (asksAttention(question)) return attentionWork(question);
  return asksDelta(question) ? deltaWork(question) : question.K * question.N * question.T;
}

function prepare(gpu: Gpu, question: Question): Promise<Trial> {
  return Made.during((made) => {
    if (asksAttention(question)) return prepareAttention(made, gpu, question);
    if (!asksDelta(question)) return prepareProduct(made, gpu, question);
    return prepareDelta(made, gpu, question, countOf(runFlops / (2 * deltaWork(question))));
  });
}

async function prepareProduct(made: Made, gpu: Gpu, question: ProductQuestion): Promise<Trial> {
  const { kernel, K, T } = question;
  const format = question.format as WeightFormat;
  const rowBytes = weightRowBytes(format, K);
  const limit = Math.min(mostBytes, gpu.limits.maxStorageBufferBindingSize);
  const N = Math.min(question.N, Math.max(8, 8 * Math.floor(limit / rowBytes / 8)));
  const count = countOf(T > 1 ? runFlops / (2 * T * N * K) : runBytes / (N * rowBytes));
  const copies = Math.min(count, T > 1 ? 1 : Math.ceil(mostBytes / (N * rowBytes))); // what a cache does not hold
  const weights = Array.from({ length: copies }, () => made.keep(createWeight(gpu, "tuned", [N, K], format)));
  const [x, gain] = [made.keep(permanent(gpu, "x", [T, K])), made.keep(permanent(gpu, "gain", [K]))];
  const recording = made.recording(gpu, { tokens: T, past: 0 });
  const outputs = Array.from({ length: count }, (_, i) => {
    const W = weights[i % copies]!;
    return kernel === "matvec normed"
      ? normLinear(recording, x, gain, { eps: 1e-6, offset: 0 }, W)
      : linear(recording, x, W);
  });
  return made.trial(gpu, recording, outputs);
}
