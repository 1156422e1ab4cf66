// npm run bench -- parallel --chaos: random faults for as long as asked, over two parts of a model on one adapter: errors,
// hangs, crashes, lost devices and want of memory on either of them, in loads, prompts, decoding and sums, between loads,
// requests, cancellations, unloads and restarts. The wall is a wait that does not end, or a wrong answer: then it throws.
import { join } from "node:path";
import { prepareAdapter } from "../../engine/gpu/adapter.ts";
import { openEngine, type EngineOptions } from "../../engine/index.ts";
import { packageRoot } from "../../engine/root.ts";
import { commit } from "../commit.ts";
import { saveRows } from "../results.ts";
import { answersOf, runSequence, type Happened, type Question, type Stage } from "./sequence.ts";

export interface ChaosOptions {
  seconds: number;
  adapter: string | undefined;
  /** Of the first sequence; the others follow. */
  seed: number;
}

const folder = join(packageRoot, "test-fixtures/reference/qwen2-tiny-sharded");
const questions: Question[] = [
  { prompt: [5, 6, 7], maxTokens: 24 },
  { prompt: [8, 9], maxTokens: 40 },
  { prompt: Array.from({ length: 70 }, (_, i) => 20 + i), maxTokens: 16 },
];
/** Of a step: a hang is found out soon, and a busy machine is none. */
const stepLimitMs = 15_000;
/** A wait may be for a watchdog, a recovery and a load behind them. */
const limitMs = 240_000;

/** Errors: a sequence's. */
export async function chaos({ seconds, adapter, seed: first }: ChaosOptions): Promise<void> {
  const { index, name } = await prepareAdapter({ adapter });
  const open = (options: EngineOptions) =>
    openEngine({ devices: [index, index], prefixCache: false, ...options });
  const alone = await open({});
  const right = await answersOf(alone, folder, questions);
  const { driver } = alone.device;
  await alone.close();
  const limits = { stepLimitMs, loadLimitMs: stepLimitMs };
  const restarts = { delaysMs: [0, 0, 0, 0, 0, 0, 0], windowMs: 600_000 };
  const ways = [{ tensorParallel: 1 }, { tensorParallel: 2 }, { pipelineParallel: 2 }];
  const stage: Stage = {
    ...{ folder, questions, right, limitMs, operations: 24, faults: 5 },
    ways: ways.map((way) => ({ contextLength: 256, maxInFlight: 3, ...way })),
    open: (faults) => open({ faults, restarts, ...limits }),
  };
  const happened: Happened = new Map();
  const begun = performance.now();
  const spent = () => (performance.now() - begun) / 1000;
  let seed = first;
  while (spent() < seconds) {
    const faults = await runSequence(seed, stage, happened);
    console.log(`${spent().toFixed(0)} s: sequence ${seed} ended, with "${faults}"`);
    seed += 1;
  }
  const counts = Object.fromEntries([...happened].sort());
  console.table(counts);
  const origin = { bench: "chaos", date: new Date().toISOString().slice(0, 10), commit: commit() };
  const row = { seconds: Math.round(spent()), sequences: seed - first, first, hung: 0, wrong: 0, counts };
  console.log(`rows added to ${saveRows({ ...origin, adapter: name, driver }, [row])}`);
}
