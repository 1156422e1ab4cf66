// Runs a few recorded ops once and reads what they made: the harness of kernel tests.
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Pass } from "../engine/gpu/pass.ts";
import { Recording } from "../engine/gpu/recording.ts";
import { readBytes } from "../engine/gpu/readback.ts";
import { mostSequences, stepValues, type Place } from "../engine/gpu/step.ts";
import { createBuffer, free, permanent, weightRowBytes, type Tensor, type Weight } from "../engine/gpu/tensor.ts";
import type { WeightFormat } from "../engine/gpu/tensor.ts";
import { createWeight, writeRows } from "../engine/gpu/weight.ts";

export interface RunOptions {
  /** The pass's capacity (T of the recorded shapes). */
  capacity: number;
  /** Tokens of the run; default: the capacity. */
  tokens?: number;
  /** Tokens already in the cache; default 0. */
  past?: number;
  /** Where the sequence's memory lies; default 0. */
  slot?: number;
  /** A token of each of several sequences, instead of `tokens` behind `past`. */
  each?: readonly Place[];
  /** As Run.rows. */
  rows?: number | undefined;
  /** Called when the plan has been made, ahead of its run. */
  made?: () => void;
}

/** Records, runs, and returns the values of the tensors that `record` returned, each as f32 (or u32 bits). */
export async function runOps(
  gpu: Gpu,
  options: RunOptions,
  record: (pass: Pass) => readonly Tensor[],
): Promise<(Float32Array | Uint32Array)[]> {
  const { capacity, each, past = 0, slot = 0, rows = 0 } = options;
  const tokens = each?.length ?? options.tokens ?? capacity;
  const values = new Uint32Array(each ? 4 + 4 * mostSequences : 4);
  values.set(stepValues(each ? { each, rows } : { tokens, past, slot, rows }));
  const step = permanent(gpu, "step", [values.length], values, "u32");
  const recording = new Recording(gpu, { capacity, step, batch: each !== undefined });
  const outputs = record(recording);
  const plan = await recording.finish(outputs);
  try {
    options.made?.();
    plan.submit(tokens);
    const read = outputs.map(async (tensor) => {
      const bytes = await readBytes(gpu, tensor.storage.buffer!, tensor.storage.bytes);
      return tensor.format === "u32" ? new Uint32Array(bytes) : new Float32Array(bytes);
    });
    return await Promise.all(read);
  } finally {
    plan.destroy();
    free(step);
  }
}

/** A weight from packed bytes in its own format; `limit` forces it into shards. */
export function weightOf(
  gpu: Gpu,
  shape: readonly [number, number],
  format: WeightFormat,
  bytes: Uint8Array,
  limit?: number,
): Weight {
  if (bytes.byteLength !== shape[0] * weightRowBytes(format, shape[1])) throw new Error("bytes do not match the shape");
  const weight = createWeight(gpu, "W", shape, format, limit === undefined ? {} : { limit });
  writeRows(gpu, weight, 0, bytes);
  return weight;
}

export { createBuffer, permanent };
