// With SHAPES=NAME,… those of released models, as a card computes them, in the types of QUANT=TYPE,… ("stored" is one):
// that compiles and computes for many minutes on a software adapter.
import { expect, test } from "vitest";
import { asCard } from "../test-fixtures/dense.ts";
import { testGpu } from "../test-fixtures/gpu.ts";
import { narrow } from "./hostTime.ts";
import { shapeConfig } from "./shapes.ts";
import { everyWay, fewLayers, type WayReport } from "./ways.ts";

const shapes = process.env["SHAPES"]?.split(",") ?? [];
const quants = process.env["QUANT"]?.split(",") ?? ["stored", "q8_0", "q4_k", "q6_k"];
const gpu = await testGpu(shapes.length === 0);

test.skipIf(shapes.length > 0)("every way of this device agrees", { timeout: 240_000 }, async () => {
  const reports: WayReport[] = [];
  for await (const report of everyWay(gpu, fewLayers(narrow(shapeConfig("qwen3-0.6b"))), "q8_0"))
    reports.push(report);
  expect(new Set(reports.map(({ tokens, cut }) => `${tokens} ${cut}`)).size).toBe(4);
  for (const { failures } of reports) expect(failures).toEqual([]);
  // In bytes it differs: a reference that had been computed by the same way would be no reference.
  expect(Math.max(...reports.map(({ relativeRms }) => relativeRms))).toBeGreaterThan(1e-4);
});

test.each(shapes.flatMap((name) => quants.map((quant) => [name, quant] as const)))(
  "%s, %s, as a card",
  { timeout: 14_400_000 },
  async (name, quant) => {
    const config = fewLayers(shapeConfig(name));
    for await (const report of everyWay(asCard(gpu), config, quant === "stored" ? undefined : quant)) {
      console.log(name, quant, JSON.stringify(report));
      expect.soft(report.failures, JSON.stringify(report)).toEqual([]);
    }
  },
);
