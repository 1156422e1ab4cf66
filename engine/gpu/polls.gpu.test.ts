import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { Plan } from "./plan.ts";
import { Recording } from "./recording.ts";
import { calmly, hurriedly, pollFigures } from "./polls.ts";
import { permanent } from "./tensor.ts";

let work: () => Promise<undefined>;

/** Some ten milliseconds of multiply-adds. */
beforeAll(async () => {
  const gpu = await testGpu();
  const step = permanent(gpu, "step", [4], Uint32Array.of(1, 0, 0, 0));
  const recording = new Recording(gpu, { capacity: 1, step });
  const y = recording.scratch([512 * 64]);
  recording.dispatch("bench_fma", [y], { constants: { ROUNDS: 128 }, groups: [512] });
  const plan: Plan = await recording.finish([y]);
  work = async () => {
    plan.submit(1);
    return gpu.device.queue.onSubmittedWorkDone();
  };
  await work();
});

async function during(wait: () => Promise<unknown>): Promise<{ looks: number; naps: number }> {
  const before = pollFigures();
  await wait();
  const after = pollFigures();
  return { looks: after.looks - before.looks, naps: after.naps - before.naps };
}

describe.skipIf(process.platform !== "linux")("while a result is owed", () => {
  test("Dawn looks for it without a pause where nobody says that it is long", async () => {
    const { looks, naps } = await during(work);
    expect(looks).toBeGreaterThan(0);
    expect(naps).toBe(0);
  });

  test("each look is behind a nap where somebody does", async () => {
    const { looks, naps } = await during(() => calmly(work()));
    expect(naps).toBeGreaterThan(0);
    expect(looks - naps).toBeLessThanOrEqual(1); // the last may come when nobody waits any more
  });

  test("and not while somebody is in a hurry", async () => {
    const { naps } = await during(() => calmly(hurriedly(work())));
    expect(naps).toBe(0);
  });

  test("whoever waited calmly in vain leaves nothing behind", async () => {
    await expect(calmly(Promise.reject(new Error("lost")))).rejects.toThrow("lost");
    await expect(hurriedly(Promise.reject(new Error("lost")))).rejects.toThrow("lost");
    expect((await during(work)).naps).toBe(0);
    expect((await during(() => calmly(work()))).naps).toBeGreaterThan(0);
  });
});

test("setImmediate is for all others what it was", async () => {
  const heard: unknown[] = [];
  await new Promise((resolve) => setImmediate(resolve)); // Dawn's last look
  await new Promise<void>((resolve) => {
    clearImmediate(setImmediate(() => heard.push("cleared")));
    setImmediate((a, b) => heard.push(a, b), 1, "two");
    setImmediate(resolve);
  });
  expect(heard).toEqual([1, "two"]);
  expect(await new Promise((resolve) => setImmediate(resolve, "of a native one"))).toBe("of a native one");
  expect(await promisify(setImmediate)("promised")).toBe("promised");
  const { looks, naps } = await during(() =>
    calmly(new Promise<void>((resolve) => setImmediate(() => resolve()))),
  );
  expect([looks, naps]).toEqual([0, 0]);
});
