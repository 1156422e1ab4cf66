// Whole models against the reference implementation's numbers, on this adapter. CORTEX_REFERENCE (or a folder beside
// the project) may hold more fixtures than the ones kept here; they are all run.
import { expect, test } from "vitest";
import { referenceFolders } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { readCases } from "./golden.ts";
import { verifyFolder } from "./verify.ts";

for (const folder of referenceFolders()) {
  const name = folder.split("/").slice(-3).join("/");
  test(`${name} agrees with the reference in every cut`, { timeout: 300_000 }, async () => {
    const { cases } = await readCases(folder);
    const seen: string[] = [];
    for await (const report of verifyFolder(await testGpu(), folder, { mode: "f32" })) {
      if (report.notRun === undefined) {
        for (const cut of report.cuts) expect(cut.failures, `${report.name}, ${cut.cut}`).toEqual([]);
        expect(report.cuts.map(({ cut }) => cut)).toEqual(["whole", "chunks", "token by token"]);
      }
      seen.push(report.name);
    }
    expect(seen).toEqual(cases.map((one) => one.name));
  });
}
