// What a device notes of a dispatch lies within what the host sees of it.
import { expect, test, vi } from "vitest";
import { testGpu } from "../test-fixtures/gpu.ts";
import { permanent } from "../engine/gpu/tensor.ts";
import { record } from "./walls.ts";
import { stampsOf, watchFor } from "./watch.ts";

vi.setConfig({ testTimeout: 120_000 });

test("a card's own notes", async () => {
  const gpu = await testGpu();
  expect((await watchFor(gpu)).stamps, "software is timed by the clock").toBeUndefined();
  const y = permanent(gpu, "y", [4096], undefined, "u32");
  const plan = await record(gpu, 1, 1, (pass) => {
    pass.dispatch("bench_dot", [y], { constants: { ROUNDS: 100 }, groups: [64] });
    return undefined;
  });
  const watch = stampsOf(gpu);
  const seen: { inside: number; outside: number }[] = [];
  const step = async (work: () => Promise<unknown>) => {
    let outside = 0;
    const inside = await watch.time(async () => {
      const begun = performance.now();
      await work();
      outside = performance.now() - begun;
    });
    seen.push({ inside, outside });
  };
  for (let round = 0; round < 3; round += 1)
    await plan.runApart({ over: () => false, step, stamps: watch.stamps! });
  watch.destroy();
  plan.destroy();
  for (const { inside, outside } of seen) {
    expect(inside).toBeGreaterThan(0);
    expect(inside).toBeLessThanOrEqual(outside);
  }
});
