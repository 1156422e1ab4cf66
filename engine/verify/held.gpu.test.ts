// A whole model on an adapter that is taken for one whose subgroups have several widths: its kernels are held to one.
import { join } from "node:path";
import { expect, test } from "vitest";
import { held, watchHeld } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { packageRoot } from "../root.ts";
import { verifyFolder } from "./verify.ts";

const folder = join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text");

test("kernels that are held to a width agree with the reference", { timeout: 240_000 }, async (context) => {
  const gpu = await testGpu();
  context.skip(!gpu.device.features.has("subgroup-size-control"), "no width can be asked for");
  const compiled = watchHeld(gpu);
  const cuts = ["whole", "token by token"] as const;
  for await (const report of verifyFolder(held(gpu), folder, { mode: "f32", cases: ["text_7"], cuts })) {
    expect(report.cuts.map(({ failures }) => failures)).toEqual([[], []]);
  }
  expect(compiled.length).toBeGreaterThan(3);
  for (const { name, held } of compiled) expect(held, name).toBe(true);
});
