// Measures what the ops of a model have asked and nobody knows: each open question as the op that asks it, on weights of
// its shape.
import type { Gpu } from "../gpu/adapter.ts";
import { search, type Trial } from "../gpu/autotune.ts";
import { Recording } from "../gpu/plan.ts";
import { createStep, stepValues } from "../gpu/step.ts";
import {
  free,
  permanent,
  weightRowBytes,
  type Tensor,
  type Weight,
  type WeightFormat,
} from "../gpu/tensor.ts";
import { asksDelta, Tuning, type ProductQuestion, type Question } from "../gpu/tuning.ts";
import { createWeight } from "../gpu/weight.ts";
import { linear, normLinear } from "./linear.ts";
import { deltaWork, prepareDelta } from "./tune-delta.ts";

/** How long a load may take longer, ms. */
export const tuneLimitMs = 5000;
/** Of one weight: of a vocabulary a part will do. */
const mostBytes = 64 * 2 ** 20;
/** What a run reads or computes, so that it is longer than what waiting for it blurs. */
const runBytes = 256 * 2 ** 20;
const runFlops = 2e10;
const mostOps = 16;

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

function workOf(question: Question): number {
  return asksDelta(question) ? deltaWork(question) : question.K * question.N * question.T;
}

function prepare(gpu: Gpu, question: Question): Promise<Trial> {
  if (!asksDelta(question)) return prepareProduct(gpu, question);
  return prepareDelta(gpu, question, countOf(runFlops / (2 * deltaWork(question))));
}

function countOf(ops: number): number {
  return Math.min(mostOps, Math.max(1, Math.round(ops)));
}

async function prepareProduct(gpu: Gpu, question: ProductQuestion): Promise<Trial> {
  const { kernel, K, T } = question;
  const format = question.format as WeightFormat;
  const rowBytes = weightRowBytes(format, K);
  const limit = Math.min(mostBytes, gpu.limits.maxStorageBufferBindingSize);
  const N = Math.min(question.N, Math.max(8, 8 * Math.floor(limit / rowBytes / 8)));
  const count = countOf(T > 1 ? runFlops / (2 * T * N * K) : runBytes / (N * rowBytes));
  const copies = Math.min(count, T > 1 ? 1 : Math.ceil(mostBytes / (N * rowBytes))); // what a cache does not hold
  const made: (Tensor | Weight)[] = [];
  const keep = <V extends Tensor | Weight>(value: V): V => (made.push(value), value);
  const weights = Array.from({ length: copies }, () => keep(createWeight(gpu, "tuned", [N, K], format)));
  const step = keep(createStep(gpu, false));
  gpu.device.queue.writeBuffer(step.storage.buffer!, 0, stepValues({ tokens: T, past: 0 }));
  const [x, gain] = [keep(permanent(gpu, "x", [T, K])), keep(permanent(gpu, "gain", [K]))];
  const recording = new Recording(gpu, { capacity: T, step });
  const outputs = Array.from({ length: count }, (_, i) => {
    const W = weights[i % copies]!;
    return kernel === "matvec normed"
      ? normLinear(recording, x, gain, { eps: 1e-6, offset: 0 }, W)
      : linear(recording, x, W);
  });
  const plan = await recording.finish(outputs.slice(-1));
  return {
    run: async () => {
      plan.submit(T);
      await gpu.device.queue.onSubmittedWorkDone();
    },
    free: () => {
      plan.destroy();
      free(...made);
    },
  };
}
