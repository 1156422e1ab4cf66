// The search behind Tuning: every way of every open question is run, in turn with the others so that whatever else the
// machine does falls on all alike, and the median decides among those that compute what the guess computes: a driver may
// be wrong in one of them. It takes seconds: what it does not get to keeps its guess, and is measured at the next load.
import { keyOf, type Open, type Question } from "./tuning.ts";

/** Runs a way of a question once, to the end. */
export type Run = () => Promise<void>;

/** The ways of a question, ready to run on what they share. */
export interface Trials {
  /** One a way; undefined where the device cannot compile it. */
  readonly runs: readonly (Run | undefined)[];
  /** What a way has computed, or the beginning of it. Errors: the device is gone, which a run does not tell. */
  result(way: number): Promise<Float32Array>;
  /** Resolves when the memory is there for others. */
  free(): Promise<void>;
}

export interface Search {
  /** Compiles and allocates; undefined where the device has no room for it now. */
  prepare(question: Question, ways: readonly string[]): Promise<Trials | undefined>;
  /** Says which ways are compiled or run next for the first time, and so what it was should the device not survive it. */
  trying(question: Question, ways: readonly string[]): void;
  /** Hears of a way that computes something else than the guess. */
  wrong(question: Question, way: string): void;
  /**
   * Time after which no question is begun, ms. One that was begun is answered, or a slow device would never come to an
   * answer; unless it would take several times as long.
   */
  limitMs: number;
  now(): number;
}

const rounds = 5;
/** By how much a way must beat the guess, which is also what other hosts take. */
const margin = 0.97;
/** Of the root mean square: rounding x to bytes costs a hundredth, a row of a tile that is missing an eighth. */
const tolerance = 0.1;

/** The best way by the keys of the questions that there was time for. Errors: the device is gone; then nothing is known. */
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

/** undefined: there was no room, or it would take too long. */
async function compare(
  question: Question,
  ways: readonly string[],
  s: Search,
  end: number,
): Promise<string | undefined> {
  s.trying(question, ways.slice(1)); // should none of them but the guess compile, it is the guess
  const trials = await s.prepare(question, ways);
  s.trying(question, []);
  if (!trials) return undefined;
  try {
    if (await isSlow(trials, s)) return undefined;
    const right = await rightOnes(question, ways, trials, s);
    const times = trials.runs.map((): number[] => []);
    for (let round = 0; round < rounds && (round === 0 || s.now() < end); round += 1) {
      for (const [i, run] of trials.runs.entries()) {
        if (!run || !right[i]) continue;
        const begun = s.now();
        await run();
        times[i]!.push(s.now() - begun);
      }
    }
    const known = trials.runs.findIndex((run) => run !== undefined);
    if (known >= 0) await trials.result(known); // a device that is gone takes no time for anything
    return ways[bestOf(times.map(median))];
  } finally {
    await trials.free();
  }
}

/** Whether a run of each way alone, if all take as long as the guess, takes all the time that there is. */
async function isSlow({ runs: [guess, ...others] }: Trials, s: Search): Promise<boolean> {
  await guess?.(); // some drivers compile now
  const begun = s.now();
  await guess?.();
  return (s.now() - begun) * (1 + others.length) > s.limitMs;
}

/** Which ways compute what the guess computes. Each has run twice then: what it keeps from run to run is as it will be. */
async function rightOnes(
  question: Question,
  ways: readonly string[],
  { runs, result }: Trials,
  s: Search,
): Promise<boolean[]> {
  let want: Float32Array | undefined;
  const right: boolean[] = [];
  for (const [i, run] of runs.entries()) {
    if (i > 0) s.trying(question, [ways[i]!]);
    await run?.();
    await run?.();
    const got = run && (await result(i));
    if (i === 0) want = got;
    right.push(!got || !want || agree(got, want));
    if (!right[i]) s.wrong(question, ways[i]!);
  }
  s.trying(question, []);
  return right;
}

function agree(got: Float32Array, want: Float32Array): boolean {
  const square = (sum: number, value: number) => sum + value * value;
  const error = got.reduce((sum, value, i) => square(sum, value - want[i]!), 0);
  return error <= tolerance ** 2 * want.reduce(square, 0); // not where one is no number
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
