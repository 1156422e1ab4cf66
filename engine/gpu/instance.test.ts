// Which of Dawn's instances are kept, on a Dawn that only counts.
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { askDawn } from "./instance.ts";

const made: WeakRef<object>[] = [];

vi.mock("webgpu", () => ({
  globals: {},
  create: (flags: string[]) => {
    const requestAdapter = () => {
      if (flags.includes("adapter=refused")) return Promise.reject(new Error("Available adapters: none"));
      return Promise.resolve(flags.includes("adapter=here") ? {} : null);
    };
    const instance = { requestAdapter };
    made.push(new WeakRef(instance));
    return instance;
  },
}));

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** In a frame of its own, which holds nothing afterwards. */
async function asked(flag: string): Promise<void> {
  await askDawn([flag]).then(
    () => undefined,
    () => undefined,
  );
}

test("an instance is kept for as long as its adapter may live; one without is let go", async () => {
  for (const flag of ["adapter=here", "adapter=none", "adapter=refused"]) await asked(flag);
  const kept = () => made.map((instance) => instance.deref() !== undefined);
  for (let times = 0; times < 20 && kept().filter(Boolean).length > 1; times += 1) {
    await sleep(5); // what a turn of the event loop has looked at lives to its end
    collect();
  }
  expect(kept()).toEqual([true, false, false]);
});
