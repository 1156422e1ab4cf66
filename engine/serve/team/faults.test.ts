// What fails in each phase of a spread model, on the rank that leads and on one that follows, by parts and by layers: all
// who waited hear of it, with what makes a 503 and when to come back, and afterwards the model answers as before. The
// devices are simulated; some of it happens to real ones in team.gpu.test.ts.
import { expect, test } from "vitest";
import type { EngineError } from "../../errors.ts";
import type { Engine, Model } from "../types.ts";
import { World } from "./simulated.fixture.ts";
import { ask } from "../../../bench/chaos/sequence.ts";
import { folder, openSimulated, ways } from "./simulatedEngine.fixture.ts";

const questions = [
  { prompt: [5, 6, 7], maxTokens: 9 },
  { prompt: [8, 9], maxTokens: 9 },
  { prompt: [10], maxTokens: 7 },
];
const answers = (model: Model) => questions.map((question) => ask(model, question));

const phases: Record<string, readonly string[]> = {
  load: ["bug@load", "memory@load", "lost@load", "crash@load", "hang@read", "hang@compile", "hang@upload"],
  prefill: ["bug@prefill:2", "memory@prefill", "lost@prefill:2", "crash@prefill", "hang@prefill:2"],
  decode: ["bug@decode:3", "memory@decode", "lost@decode:2", "crash@decode:4", "hang@decode:3"],
  sum: ["bug@sum:11", "memory@sum:9", "lost@sum:12", "crash@sum:10", "hang@sum:13"],
};

const cases = Object.entries(phases).flatMap(([phase, faults]) =>
  faults.flatMap((fault) => [0, 1].map((rank) => ({ phase, fault: `${fault}/${rank}` }))),
);

async function expected(): Promise<string[]> {
  const engine = await openSimulated(new World(), {});
  const said = await Promise.all(answers(await engine.load(folder, ways.alone)));
  await engine.close();
  return said;
}

/** A load that fails is asked for again; one that has ended may lose its device at once. */
async function loaded(engine: Engine, way: "tensor" | "pipeline"): Promise<Model> {
  try {
    const model = await engine.load(folder, ways[way]);
    while (engine.health.losses === 0) await new Promise((resolve) => setImmediate(resolve));
    return model;
  } catch (error) {
    const { code = "internal" } = error as Partial<EngineError>;
    expect(["device_lost", "out_of_memory", "internal", "load_stalled"]).toContain(code);
    return engine.load(folder, ways[way]);
  }
}

async function survives(way: "tensor" | "pipeline", phase: string, fault: string, right: string[]) {
  const world = new World();
  const limits = { stepLimitMs: 3000, loadLimitMs: 3000 }; // a busy machine does not hang
  const restarts = { delaysMs: [0, 0, 0, 0], windowMs: 60_000 };
  const engine = await openSimulated(world, { faults: fault, restarts, ...limits });
  const model = await (phase === "load" ? loaded(engine, way) : engine.load(folder, ways[way]));
  if (phase !== "load") {
    const outcomes = await Promise.allSettled(answers(model));
    const failures = outcomes.flatMap((one) =>
      one.status === "rejected" ? [one.reason as EngineError] : [],
    );
    expect(failures.length, fault).toBeGreaterThan(0);
    for (const failure of failures) {
      expect(["device_lost", "internal", "out_of_memory"], fault).toContain(failure.code ?? "internal");
      if (failure.code === "device_lost") expect(failure.details["retryAfter"], fault).toBeGreaterThan(0);
    }
    expect(model.load, fault).toEqual({ running: 0, waiting: 0 });
  }
  await engine.settled();
  expect([engine.health.state, model.state], fault).toEqual(["ready", "ready"]);
  expect(await Promise.all(answers(model)), fault).toEqual(right);
  await model.unload();
  expect(world.parts.size, fault).toBe(0);
  await engine.close();
  expect(world.devices.size, fault).toBe(0);
}

test.each(["tensor", "pipeline"] as const)("by %s, everybody is drained and it recovers", async (way) => {
  const right = await expected();
  const left = [...cases];
  const lane = async () => {
    for (let next = left.shift(); next; next = left.shift())
      await survives(way, next.phase, next.fault, right);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
});

test.each(["alone", "tensor", "pipeline"] as const)(
  "a load %s that is cancelled ends, and hurts nobody",
  async (way) => {
    const world = new World();
    const engine = await openSimulated(world, { faults: "hang@read/0", loadLimitMs: 1e6 });
    const given = new AbortController();
    const loading = engine.load(folder, ways[way], undefined, given.signal);
    given.abort();
    await expect(loading).rejects.toThrow();
    const again = new AbortController();
    const reading = engine.load(folder, ways[way], undefined, again.signal);
    setTimeout(() => again.abort(), 50); // it hangs then, or has not begun
    await expect(reading).rejects.toMatchObject({ code: "cancelled" });
    expect([engine.health.state, engine.health.losses]).toEqual(["ready", 0]);
    while (world.parts.size > 0) await new Promise((resolve) => setImmediate(resolve)); // others' shares
    const model = await engine.load(folder, ways[way]);
    expect(await ask(model, questions[0]!)).toBe((await expected())[0]);
    await engine.close();
    expect(world.devices.size).toBe(0);
  },
);
