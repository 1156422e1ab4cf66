// What is verified on a device that is to measure: the ways that were found to suit it. Here each question's last one, as
// if that were always the fastest.
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { keyOf, Tuning } from "../gpu/tuning.ts";
import { packageRoot } from "../root.ts";
import { verifyFolder } from "./verify.ts";

vi.setConfig({ testTimeout: 300_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

vi.mock("../ops/tune.ts", () => ({
  tune: ({ tuning }: Gpu) =>
    tuning.learn(new Map(tuning.open.map(({ question, ways }) => [keyOf(question), ways.at(-1)!]))),
}));

test("what was measured", async () => {
  const gpu = await testGpu();
  const found = new Map<string, string>();
  const save = (answers: object) => {
    for (const [key, way] of Object.entries(answers)) found.set(key, way as string);
  };
  const tuning = new Tuning({ autotune: true }, { save });
  const taken = vi.spyOn(tuning, "choose");
  const has = { ...gpu.has, subgroupMatrix: false }; // whose last ways round
  const card: Gpu = { ...gpu, has, tuning, report: { ...gpu.report, kind: "hardware" } };
  const folder = join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text");
  for await (const report of verifyFolder(card, folder, { mode: "f32", cases: ["text_7"] }))
    for (const { cut, failures } of report.cuts) expect(failures, cut).toEqual([]);

  const kernels = [...found.keys()].map((key) => key.split(" ")[0]);
  expect(new Set(kernels)).toEqual(new Set(["matvec", "matmul", "attention"]));
  const last = new Map(taken.mock.calls.map(([question], i) => [keyOf(question), taken.mock.results[i]!]));
  for (const [key, way] of found) expect(last.get(key)!.value, key).toMatchObject({ name: way });
});
