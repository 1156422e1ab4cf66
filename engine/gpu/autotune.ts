// The search behind Tuning: every way of every open question is run, in turn with the others so that whatever else the
// machine does falls on all alike, and the median decides. It takes seconds at most: what it does not get to keeps its
// guess, and is measured at the next load.
import { keyOf, type Open, type Question } from "./tuning.ts";

/** Runs a way of a question once, to the end. */
export type Run = () => Promise<void>;

/** The ways of a question, ready to run on what they share. */
export interface Trials {
  /** One a way; undefined where the device cannot compile it. */
  readonly runs: readonly (Run | undefined)[];
  free(): void;
}

export interface Search {
  /** Compiles and allocates; undefined where the device has no room for it now. */
  prepare(question: Question, ways: readonly string[]): Promise<Trials | undefined>;
  /** Time that may pass, ms. */
  limitMs: number;
  now(): number;
}

const rounds = 5;
/** By how much a way must beat the guess, which is also what other hosts take. */
const margin = 0.97;

/** The best way by the keys of the questions that there was time for. */
export async function search(open: readonly Open[], s: Search): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const end = s.now() + s.limitMs;
  for (const { question, ways } of open) {
    if (s.now() >= end) break;
    const best = await compare(question, ways, s, end);
    if (best !== undefined) found.set(keyOf(question), best);
  }
  return found;
}

/** undefined: there was no time for it, or no room. */
async function compare(
  question: Question,
  ways: readonly string[],
  s: Search,
  end: number,
): Promise<string | undefined> {
  const trials = await s.prepare(question, ways);
  if (!trials) return undefined;
  try {
    const times = trials.runs.map((): number[] => []);
    for (let round = -1; round < rounds; round += 1) {
      for (const [i, run] of trials.runs.entries()) {
        if (s.now() >= end) return undefined;
        const begun = s.now();
        await run?.();
        if (round >= 0 && run) times[i]!.push(s.now() - begun); // the first round warms up
      }
    }
    return ways[bestOf(times.map(median))];
  } finally {
    trials.free();
  }
}

/** The least, or the first if nothing beats it clearly; a way that cannot run has no median. */
export function bestOf(medians: readonly (number | undefined)[]): number {
  const known = medians.map((ms) => ms ?? Infinity);
  const least = known.indexOf(Math.min(...known));
  return known[least]! < margin * known[0]! ? least : 0;
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
