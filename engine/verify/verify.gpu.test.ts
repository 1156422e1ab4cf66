// Whole models against the reference implementation's numbers, on this adapter. CORTEX_REFERENCE may name a folder of
// more fixtures than the ones kept here; they are all run, and in brief one that has every kind of layer.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { referenceFolders } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { plannedModelTypes } from "../models/config.ts";
import { readCases } from "./golden.ts";
import { verifyFolder } from "./verify.ts";

const brief = process.env["NEURON_TEST_BRIEF"] !== undefined;
const runnable = referenceFolders().filter((folder) => {
  if (brief && basename(folder) !== "qwen3_5-tiny-text") return false;
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as { model_type: string };
  return !(plannedModelTypes as readonly string[]).includes(config.model_type);
});

for (const folder of runnable) {
  const name = folder.split("/").slice(-3).join("/");
  test(`${name} agrees with the reference in every cut`, { timeout: 300_000 }, async () => {
    const { cases } = await readCases(folder);
    const seen: string[] = [];
    for await (const report of verifyFolder(await testGpu(), folder, { mode: "f32" })) {
      if (report.notRun === undefined) {
        for (const cut of report.cuts) expect(cut.failures, `${report.name}, ${cut.cut}`).toEqual([]);
        expect(report.cuts.map(({ cut }) => cut)).toEqual([
          "whole",
          "chunks",
          "token by token",
          "among others",
          "with cache",
        ]);
      }
      seen.push(report.name);
    }
    expect(seen).toEqual(cases.map((one) => one.name));
  });
}
