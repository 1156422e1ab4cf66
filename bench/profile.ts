// profile: where the time of a decoded token goes, or that of a prompt, dispatch by dispatch. Each is submitted by itself
// and in order, so that caches hold what they hold otherwise, and timed as watch.ts says. What the whole takes beyond their
// sum lies between dispatches.
//   npm run bench -- profile [MODEL …] [--quant TYPE] [--tokens N] [--rounds N] [--adapter NAME]
import type { Gpu } from "../engine/gpu/adapter.ts";
import { loadModel } from "../engine/serve/device.ts";
import { clockFor } from "./clock.ts";
import { median } from "./median.ts";
import { decode, folderOf, prefill, type Runner } from "./models.ts";
import { lowerPriority } from "./walls.ts";
import { watchFor } from "./watch.ts";

export interface ProfileOptions {
  quant?: string | undefined;
  /** Of a prompt, which one run takes; default: a token is decoded. */
  tokens?: number | undefined;
  /** Of which each has its median. */
  rounds: number;
}

/** Dispatches of one kernel and size. */
interface Spent {
  name: string;
  count: number;
  /** Of all of them, medians of the rounds. */
  ms: number;
}

const decoded = 16;

export async function profile(gpu: Gpu, name: string, options: ProfileOptions): Promise<void> {
  const { quant, tokens, rounds } = options;
  const model = await loadModel(gpu, await folderOf(name), {
    contextLength: 1024,
    ...(quant ? { quant } : {}),
  });
  if (gpu.report.kind === "software") lowerPriority();
  const run = () => (tokens === undefined ? decode(model.runner, decoded) : prefill(model.runner, tokens));
  try {
    await run(); // the first warms up
    const whole = (await medianOf(gpu, rounds, run)) / (tokens === undefined ? decoded : 1);
    const spent = await dispatches(gpu, model.runner, { tokens, rounds });
    const sum = spent.reduce((all, { ms }) => all + ms, 0);
    print([...spent, { name: "between them", count: 1, ms: whole - sum }], whole);
  } finally {
    model.destroy();
  }
}

async function dispatches(
  gpu: Gpu,
  runner: Runner,
  { tokens, rounds }: { tokens: number | undefined; rounds: number },
): Promise<Spent[]> {
  const watch = await watchFor(gpu);
  const steps: { name: string; times: number[] }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    let at = 0;
    const step = async (work: () => Promise<unknown>, name: string) => {
      const ms = await watch.time(work);
      (steps[at] ??= { name, times: [] }).times.push(ms);
      at += 1;
    };
    const apart = { over: () => false, step, ...(watch.stamps && { stamps: watch.stamps }) };
    if (tokens === undefined) await runner.decodeApart(apart);
    else await runner.promptApart(tokens, apart);
  }
  watch.destroy();
  const spent = new Map<string, Spent>();
  for (const { name, times } of steps) {
    const one = spent.get(name) ?? { name, count: 0, ms: 0 };
    spent.set(name, { name, count: one.count + 1, ms: one.ms + median(times) });
  }
  return [...spent.values()].sort((a, b) => b.ms - a.ms);
}

async function medianOf(gpu: Gpu, rounds: number, work: () => Promise<unknown>): Promise<number> {
  const clock = clockFor(gpu);
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const begun = clock.now();
    await work();
    times.push(clock.now() - begun);
  }
  return median(times);
}

function print(spent: readonly Spent[], whole: number): void {
  console.table(
    spent.map(({ name, count, ms }) => ({
      ...{ name, count },
      ms: ms.toFixed(2),
      "of all": `${((100 * ms) / whole).toFixed(1)} %`,
    })),
  );
  console.log(`all: ${whole.toFixed(2)} ms`);
}
