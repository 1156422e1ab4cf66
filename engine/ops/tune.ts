// Measures what the ops of a model have asked and nobody knows: each open question as the op that asks it, on weights, or
// a cache, or a state, of its shape.
import type { Gpu } from "../gpu/adapter.ts";
import { search } from "../gpu/autotune.ts";
import { permanent, weightRowBytes, type WeightFormat } from "../gpu/tensor.ts";
import { asksAttention, asksDelta, keyOf, type ProductQuestion, type Question } from "../gpu/tuning.ts";
import type { Recording } from "../gpu/recording.ts";
import { createWeight } from "../gpu/weight.ts";
import { linear, normLinear } from "./linear.ts";
import { attentionTrial, attentionWork } from "./tune-attention.ts";
import { deltaTrial, deltaWork } from "./tune-delta.ts";
import {
  countOf,
  fill,
  mostBytes,
  runBytes,
  runFlops,
  trialsOf,
  type Keep,
  type Work,
} from "./tune-trial.ts";

/** About how long a load may take longer, ms. */
const tuneLimitMs = 5000;

/**
 * Measures what `gpu.tuning` has open, by what takes longest first, and lets it learn. Errors: the device is gone; then
 * nothing is learned.
 */
export async function tune(gpu: Gpu, limitMs = tuneLimitMs): Promise<void> {
  const open = [...gpu.tuning.open].sort((a, b) => workOf(b.question) - workOf(a.question));
  const found = await search(open, {
    prepare: (question, ways) => trialsOf(gpu, ways, (keep) => workFor(gpu, question, keep)),
    trying: (question, ways) => gpu.tuning.trying(question, ways),
    wrong: (question, way) => tellWrong(gpu, question, way),
    limitMs,
    now: () => performance.now(),
  });
  gpu.tuning.learn(found);
}

/** The null backend computes nothing. */
function tellWrong({ report }: Gpu, question: Question, way: string): void {
  if (report.backend === "null") return;
  console.error(`${report.name} computes something else by "${way}" of ${keyOf(question)}: it is not used`);
}

/** Multiply-adds. */
function workOf(question: Question): number {
  if (asksAttention(question)) return attentionWork(question);
  return asksDelta(question) ? deltaWork(question) : question.K * question.N * question.T;
}

function workFor(gpu: Gpu, question: Question, keep: Keep): Work {
  if (asksAttention(question)) return attentionTrial(gpu, question, keep);
  if (!asksDelta(question)) return productTrial(gpu, question, keep);
  return deltaTrial(gpu, question, keep);
}

function productTrial(gpu: Gpu, question: ProductQuestion, keep: Keep): Work {
  const { kernel, K, T } = question;
  const format = question.format as WeightFormat;
  const rowBytes = weightRowBytes(format, K);
  const limit = Math.min(mostBytes, gpu.limits.maxStorageBufferBindingSize);
  const N = Math.min(question.N, Math.max(8, 8 * Math.floor(limit / rowBytes / 8)));
  const count = countOf(T > 1 ? runFlops / (2 * T * N * K) : runBytes / (N * rowBytes));
  const copies = T > 1 ? 1 : count; // a card's cache holds up to a hundred megabytes
  const weights = Array.from({ length: copies }, () => keep(createWeight(gpu, "tuned", [N, K], format)));
  const [x, gain] = [keep(permanent(gpu, "x", [T, K])), keep(permanent(gpu, "gain", [K]))];
  fill(gpu, x, gain, weights[(count - 1) % copies]!);
  const record = (recording: Recording) =>
    Array.from({ length: count }, (_, i) => {
      const W = weights[i % copies]!;
      return kernel === "matvec normed"
        ? normLinear(recording, x, gain, { eps: 1e-6, offset: 0 }, W)
        : linear(recording, x, W);
    });
  return { tokens: T, past: 0, record };
}
