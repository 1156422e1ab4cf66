// The host's share of a decoded token: exact in what it makes. Its time has a budget of 1 ms, which the bench measures; a
// busy machine blurs even the best of many steps, so only what is far beyond it is told here.
import { expect, test } from "vitest";
import { hostTime } from "./hostTime.ts";
import { shapes } from "./shapes.ts";

/** Qwen3.5-27B's layers, dispatches and heads; narrow, for what the host does has nothing to do with widths. */
const narrow = {
  ...shapes["qwen3.5-27b"],
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  linear_num_key_heads: 2,
  linear_num_value_heads: 6,
  vocab_size: 512,
};

test("a token of 64 layers takes some milliseconds of the host at most, and no objects of the device", async () => {
  const { dispatches, leastUs, objects } = await hostTime(narrow, 200);
  expect(dispatches).toBeGreaterThan(64 * 5); // or it is not the plan that is meant
  expect(leastUs).toBeGreaterThan(10); // or nothing was timed
  expect(leastUs).toBeLessThan(5000);
  expect(objects).toBe(0);
});
