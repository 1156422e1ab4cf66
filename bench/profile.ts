// profile: where the time of a decoded token goes, dispatch by dispatch. Each is submitted by itself and in order, so that
// caches hold what they hold when tokens are decoded; what a submit takes is measured and taken off. What a whole token
// takes beyond their sum lies between dispatches.
//   npm run bench -- profile [MODEL …] [--quant TYPE] [--rounds N] [--adapter NAME]
import type { Gpu } from "../engine/gpu/adapter.ts";
import { free, permanent } from "../engine/gpu/tensor.ts";
import { loadModel } from "../engine/serve/device.ts";
import { Sequence } from "../engine/serve/oneSequence.ts";
import { clockFor } from "./clock.ts";
import { folderOf } from "./models.ts";
import { lowerPriority, record } from "./walls.ts";

export interface ProfileOptions {
  quant?: string | undefined;
  /** The least time of so many. */
  rounds: number;
}

/** Dispatches of one kernel and size, in one token. */
interface Spent {
  name: string;
  count: number;
  /** Of all of them, by the clock that shares are taken by. */
  ms: number;
}

const tokens = 16;

export async function profile(gpu: Gpu, name: string, { quant, rounds }: ProfileOptions): Promise<void> {
  const model = await loadModel(gpu, await folderOf(name), {
    contextLength: 1024,
    ...(quant ? { quant } : {}),
  });
  if (gpu.report.kind === "software") lowerPriority();
  try {
    const sequence = new Sequence(model.runner);
    const whole = await least(gpu, rounds, async () => {
      for (let i = 0; i < tokens; i += 1) await sequence.feed(7 + i, "token");
    });
    const spent = await dispatches(gpu, model.runner, rounds);
    const sum = spent.reduce((all, { ms }) => all + ms, 0);
    print([...spent, { name: "between them", count: 1, ms: whole / tokens - sum }], whole / tokens);
  } finally {
    model.destroy();
  }
}

type Runner = Awaited<ReturnType<typeof loadModel>>["runner"];

async function dispatches(gpu: Gpu, runner: Runner, rounds: number): Promise<Spent[]> {
  const clock = clockFor(gpu);
  const best: { name: string; ms: number }[] = [];
  const submit = await submitMs(gpu);
  for (let round = 0; round < rounds; round += 1) {
    let at = 0;
    const step = async (work: () => Promise<unknown>, name: string) => {
      const begun = clock.now();
      await work();
      const ms = Math.max(0, clock.now() - begun - submit);
      best[at] = { name, ms: Math.min(ms, best[at]?.ms ?? Infinity) };
      at += 1;
    };
    await runner.decodeApart({ over: () => false, step });
  }
  const spent = new Map<string, Spent>();
  for (const { name, ms } of best) {
    const one = spent.get(name) ?? { name, count: 0, ms: 0 };
    spent.set(name, { name, count: one.count + 1, ms: one.ms + ms });
  }
  return [...spent.values()].sort((a, b) => b.ms - a.ms);
}

/** What submitting one dispatch of nothing takes. */
async function submitMs(gpu: Gpu): Promise<number> {
  const y = permanent(gpu, "count", [4], undefined, "u32");
  const plan = await record(gpu, 1, 1, (pass) => {
    pass.dispatch("bench_nothing", [y], { groups: [1] });
    return undefined;
  });
  const work = async () => {
    plan.submit(1);
    await gpu.device.queue.onSubmittedWorkDone();
  };
  await work();
  const ms = await least(gpu, 50, work);
  plan.destroy();
  free(y);
  return ms;
}

async function least(gpu: Gpu, rounds: number, work: () => Promise<unknown>): Promise<number> {
  const clock = clockFor(gpu);
  let best = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const begun = clock.now();
    await work();
    best = Math.min(best, clock.now() - begun);
  }
  return best;
}

function print(spent: readonly Spent[], whole: number): void {
  console.table(
    spent.map(({ name, count, ms }) => ({
      ...{ name, count },
      "ms a token": ms.toFixed(2),
      "of the token": `${((100 * ms) / whole).toFixed(1)} %`,
    })),
  );
  console.log(`a token: ${whole.toFixed(2)} ms`);
}
