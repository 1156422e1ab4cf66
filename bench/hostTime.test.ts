// The host's share of a decoded token: exact in what it makes. Its time has a budget of 1 ms, which `bench -- host` measures; a
// busy machine blurs even the best of many steps, so only what is far beyond it is told here.
import { expect, test } from "vitest";
import { parseConfig } from "../engine/models/config.ts";
import { hostTime, narrow } from "./hostTime.ts";
import { shapes } from "./shapes.ts";

test("a token of 64 layers takes some milliseconds of the host at most, and makes and writes nothing of the device", async () => {
  const { dispatches, leastUs, ...made } = await hostTime(narrow(shapes["qwen3.5-27b"]!), 200);
  expect(dispatches).toBeGreaterThan(64 * 5); // or it is not the plan that is meant
  expect(leastUs).toBeGreaterThan(10); // or nothing was timed
  expect(leastUs).toBeLessThan(5000);
  expect([made.objects, made.writes]).toEqual([0, 0]);
  expect(made.heapBytes).toBeGreaterThan(0); // or nothing was counted
  expect(made.heapBytes).toBeLessThan(70 * dispatches); // nothing of each dispatch, which would be twice as much
});

test.each(Object.entries(shapes))("%s has every tensor that its architecture asks for", async (_, shape) => {
  const { layerTypes } = parseConfig(shape, "config.json");
  const { dispatches } = await hostTime(narrow(shape), 1);
  const most = { full_attention: 6, linear_attention: 5 }; // and embedding, final norm, head, two of a draw
  expect(dispatches).toBe(layerTypes.reduce((sum, type) => sum + most[type], 5));
});
