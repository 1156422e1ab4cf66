// A thousand random sequences over two simulated ranks . SEQUENCES says another number,
// SEQUENCE_SEED where they begin.
import { expect, test } from "vitest";
import { World } from "../../engine/serve/team/simulated.fixture.ts";
import { folder, openSimulated, ways } from "../../engine/serve/team/simulatedEngine.fixture.ts";
import { answersOf, runSequence, type Happened, type Question, type Stage } from "./sequence.ts";

const count = Number(process.env["SEQUENCES"] ?? 1000);
const first = Number(process.env["SEQUENCE_SEED"] ?? 1);
/** Side by side: some wait for a watchdog. */
const lanes = 48;

const questions: Question[] = [
  { prompt: [5, 6, 7], maxTokens: 9 },
  { prompt: [8, 9], maxTokens: 14 },
  { prompt: [10], maxTokens: 5 },
  { prompt: [11, 12, 13, 14, 15, 16], maxTokens: 30 },
];

test(`${count} sequences of load, generate, cancel, fail and unload end`, { timeout: 300_000 }, async () => {
  const alone = await openSimulated(new World(), {});
  const right = await answersOf(alone, folder, questions);
  await alone.close();
  const happened: Happened = new Map();
  const limits = { stepLimitMs: 900, loadLimitMs: 700 };
  const restarts = { delaysMs: [0, 0, 0, 0, 0, 0], windowMs: 60_000 };
  const all = Object.values(ways);
  let next = first;
  const lane = async () => {
    while (next < first + count) {
      const world = new World();
      const open = (faults: string) => openSimulated(world, { faults, restarts, ...limits });
      const stage: Stage = {
        ...{ folder, ways: all, open, questions, right },
        ...{ limitMs: 60_000, operations: 9, faults: 2 },
      };
      const seed = next++;
      await runSequence(seed, stage, happened);
      expect([world.devices.size, world.parts.size], `seed ${seed}: what is left`).toEqual([0, 0]);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (const what of ["ask: done", "ask: cancelled", "ask: device_lost", "load: done", "unload: done"])
    expect(happened.get(what) ?? 0, what).toBeGreaterThan(count / 50);
  for (const what of ["load: device_lost", "load: out_of_memory", "load: load_stalled", "ask: internal"])
    expect(happened.get(what) ?? 0, what).toBeGreaterThan(0);
});
