// What the threads of bench/parallel.ts do together.
import type { AllReduce, Meeting } from "../engine/parallel/allReduce.ts";

/** What a thread is told. */
export interface Rehearsal {
  meeting: Meeting;
  rank: number;
  /** Of a sum. */
  values: number;
  /** Of each rank's words: they are gathered, instead of a sum. */
  lengths?: readonly number[];
  rounds: number;
}

/** A round of it. */
export function meet(reduce: AllReduce, { lengths }: Rehearsal, part: Float32Array): Promise<unknown> {
  if (!lengths) return sumWith(reduce, part);
  return reduce.gather(new Uint32Array(part.buffer, 0, lengths[reduce.rank]), lengths);
}

/** values ← Σ over the ranks, slice by slice as serving does it (engine/gpu/sums.ts). */
async function sumWith(reduce: AllReduce, values: Float32Array): Promise<void> {
  let before: Float32Array | undefined;
  for (let from = 0; from < values.length; from += reduce.slice) {
    const part = values.subarray(from, from + reduce.slice);
    reduce.give(part);
    if (before) await reduce.take(before);
    before = part;
  }
  await reduce.take(before!);
}
