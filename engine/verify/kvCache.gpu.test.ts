// What keeping keys and values in fewer bits costs, against the reference's logits.
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import { packageRoot } from "../root.ts";
import { verifyFolder } from "./verify.ts";

vi.setConfig({ testTimeout: 300_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

/** The largest relative rms error of the logits, over the cuts of a case. */
async function errorOf(name: string, one: string, kvCache: KvFormat): Promise<number> {
  const folder = join(packageRoot, "test-fixtures/reference", name);
  const reports = verifyFolder(await testGpu(), folder, { mode: "f32", cases: [one], kvCache });
  let most = 0;
  for await (const { cuts } of reports)
    for (const { logits } of cuts) most = Math.max(most, logits.relativeRms);
  return most;
}

// Over all goldens and lengths the worst are 1.0e-3 and 2.4e-2 (bench/LOG.md).
test.each([
  ["qwen3-tiny-tied", "text_150"],
  ["llama3-tiny-ropescaled", "text_9"],
  ["qwen2-tiny-sharded", "text_9"],
  ["qwen3_5-tiny-text", "text_7"],
  ["qwen3_5_moe-tiny", "text_7"],
] as const)("%s: each format is as near as its bits allow, and no nearer", async (name, one) => {
  const [f16, q8] = [await errorOf(name, one, "f16"), await errorOf(name, one, "q8_0")];
  expect([f16 > 1e-5, f16 < 2e-3]).toEqual([true, true]); // f32 is nearer than 1e-5
  expect([q8 > 3 * f16, q8 < 3e-2]).toEqual([true, true]);
});
