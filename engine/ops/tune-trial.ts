// What the autotune's trials have in common: how much they compute, and what they allocate until they are over. The ways of
// a question run on the same weights, or caches: a card may have little room left when a model is loaded.
import type { Run, Trials } from "../gpu/autotune.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep, stepValues } from "../gpu/step.ts";
import { readBytes, submitAlone } from "../gpu/readback.ts";
import { allocating, free, weightRowBytes, type Tensor, type Weight } from "../gpu/tensor.ts";
import { finishTiles } from "../gpu/tileWriter.ts";
import { Tuning } from "../gpu/tuning.ts";
import { writeRows } from "../gpu/weight.ts";
import { EngineError } from "../errors.ts";

/** Of one weight, or cache: of a vocabulary a part will do. */
export const mostBytes = 64 * 2 ** 20;
/** What a run reads or computes, so that it is longer than what waiting for it blurs. */
export const runBytes = 256 * 2 ** 20;
export const runFlops = 2e10;
const mostOps = 64;

export function countOf(ops: number): number {
  return Math.min(mostOps, Math.max(1, Math.round(ops)));
}

/** Keeps what all ways of a question share, until they are over. */
export type Keep = <V extends Tensor | Weight>(value: V) => V;

export interface Work {
  tokens: number;
  /** Tokens behind which they are. */
  past: number;
  /** Records some layers, in the way that the recording's device answers. */
  record(recording: Recording): readonly Tensor[];
}

/**
 * The ways ready to run; undefined where the device has no room, and then nothing stays allocated, nor when it throws.
 * Within `allocating` of a load: what is short here is not short there.
 */
export async function trialsOf(
  gpu: Gpu,
  ways: readonly string[],
  prepare: (keep: Keep) => Work,
): Promise<Trials | undefined> {
  const kept: (Tensor | Weight)[] = [];
  const plans: Plan[] = [];
  const release = () => {
    for (const plan of plans) plan.destroy();
    free(...kept);
  };
  const keep: Keep = (value) => (kept.push(value), value);
  try {
    const made = await allocating(gpu, async () => {
      const work = prepare(keep);
      const step = keep(createStep(gpu, false));
      gpu.device.queue.writeBuffer(step.storage.buffer!, 0, stepValues(work));
      return Promise.all(ways.map((way) => trialOf(gpu, way, { work, step, plans })));
    });
    const result = (way: number) => resultOf(gpu, made[way]!);
    const giveBack = async () => {
      release();
      submitAlone(gpu, () => undefined); // Dawn gives memory back when what was submitted later is done
      await gpu.device.queue.onSubmittedWorkDone();
    };
    return { runs: made.map((one) => one?.run), result, free: giveBack };
  } catch (error) {
    release();
    if (error instanceof EngineError && error.code === "out_of_memory") return undefined;
    throw error;
  }
}

interface Trial {
  readonly run: Run;
  /** Of the last layer. */
  readonly output: Tensor;
}

/** undefined where it does not compile. */
async function trialOf(
  gpu: Gpu,
  way: string,
  { work, step, plans }: { work: Work; step: Tensor; plans: Plan[] },
): Promise<Trial | undefined> {
  try {
    const answered = { ...gpu, tuning: Tuning.only(way) };
    const recording = new Recording(answered, { capacity: work.tokens, step });
    const output = work.record(recording).at(-1)!;
    const plan = await recording.finish([output]);
    plans.push(plan);
    const run = async () => {
      plan.submit(work.tokens);
      await gpu.device.queue.onSubmittedWorkDone();
    };
    return { run, output };
  } catch {
    return undefined;
  }
}

const mostResult = 4 * 2 ** 20;

/** What was computed, or its beginning. Errors: the device is gone. */
async function resultOf(gpu: Gpu, { output: { storage } }: Trial): Promise<Float32Array> {
  return new Float32Array(await readBytes(gpu, storage.buffer!, Math.min(mostResult, storage.bytes)));
}

/**
 * Fills tensors and weights, in whatever format, with values of both signs that are neither large nor small: as halves
 * they lie within 1 and 2, as floats within 2⁻⁷ and 2.
 */
export function fill(gpu: Gpu, ...places: readonly (Tensor | Weight)[]): void {
  const words = noise(2 ** 18);
  const bytes = new Uint8Array(words.buffer);
  for (const place of places) {
    if ("shards" in place) fillRows(gpu, place, bytes);
    else {
      const { buffer, bytes: size } = place.storage;
      for (let at = 0; at < size; at += bytes.length)
        gpu.device.queue.writeBuffer(buffer!, at, words, 0, Math.min(bytes.length, size - at) / 4);
    }
  }
}

function fillRows(gpu: Gpu, weight: Weight, bytes: Uint8Array): void {
  const [N, K] = weight.shape;
  const rowBytes = weightRowBytes(weight.shards[0]!.format, K);
  const step = Math.max(1, Math.floor(bytes.length / rowBytes));
  for (let row = 0; row < N; row += step)
    writeRows(gpu, weight, row, bytes.subarray(0, Math.min(step, N - row) * rowBytes));
  finishTiles(gpu);
}

/** Words of two halves each, whose signs and fractions are random, the same every time. */
function noise(count: number): Uint32Array<ArrayBuffer> {
  let state = 0x9e3779b9;
  return Uint32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 0x83ff83ff) | 0x3c003c00;
  });
}
