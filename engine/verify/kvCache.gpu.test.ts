// What keeping keys and values in fewer bits costs, against the reference's logits.
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import { packageRoot } from "../root.ts";
import { verifyFolder } from "./verify.ts";

vi.setConfig({ testTimeout: 300_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

/** The largest relative rms error of the logits, over the cuts of a case. */
async function errorOf(kvCache: KvFormat): Promise<number> {
  const folder = join(packageRoot, "test-fixtures/reference/qwen3-tiny-tied");
  const reports = verifyFolder(await testGpu(), folder, { mode: "f32", cases: ["text_150"], kvCache });
  let most = 0;
  for await (const { cuts } of reports)
    for (const { logits } of cuts) most = Math.max(most, logits.relativeRms);
  return most;
}

test("each format is as near as its bits allow, and no nearer", async () => {
  const [f32, f16, q8] = [await errorOf("f32"), await errorOf("f16"), await errorOf("q8_0")];
  expect(f32).toBeLessThan(1e-5);
  expect([f16 > 3 * f32, f16 < 2e-3]).toEqual([true, true]);
  expect([q8 > 3 * f16, q8 < 3e-2]).toEqual([true, true]);
});
