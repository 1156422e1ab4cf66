// Models spread over devices against the reference's numbers: by parts of every layer, and by layers. Each device's
// share is computed by itself, with the kernels, the loader and the shared memory that serving uses; all of them on one
// device here, so that kernels compile once. SPREAD=all runs every fixture, case and cut, which takes many minutes.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { referenceFolders } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { exportGguf } from "../formats/gguf/export.ts";
import { parseConfig } from "../models/config.ts";
import { packageRoot } from "../root.ts";
import { difference } from "./compare.ts";
import { readCases } from "./golden.ts";
import { Team, type Spread } from "./spread.ts";
import { verifyFolder, type Cut } from "./verify.ts";

const timeout = 600_000;
const all = process.env["SPREAD"] === "all";

interface Chosen {
  folder: string;
  spread: Spread;
  cuts?: readonly Cut[];
  cases: readonly string[];
}

const reference = (name: string) => join(packageRoot, "test-fixtures/reference", name);

const one = (name: string, one: string, by: Spread["by"], weights: number[], cuts: Cut[]): Chosen => ({
  folder: reference(name),
  ...{ spread: { by, weights }, cuts, cases: [one] },
});

const few: Chosen[] = [
  one("qwen3_5-tiny-text", "text_7", "tensor", [1, 1], ["whole", "with cache"]),
  one("qwen3-tiny-tied", "text_9", "tensor", [3, 1], ["among others"]),
  one("llama3-tiny-ropescaled", "text_9", "tensor", [1, 1, 1, 1], ["whole"]),
  one("qwen3_5_moe-tiny", "text_7", "tensor", [1, 1], ["whole", "token by token"]),
  one("qwen3_5-tiny-text", "text_7", "pipeline", [2, 1], ["whole", "with cache"]),
  one("qwen2-tiny-sharded", "text_9", "pipeline", [1, 1, 1], ["among others"]),
];

/** Every way that a fixture's heads and layers allow. */
async function every(): Promise<Chosen[]> {
  const chosen: Chosen[] = [];
  for (const folder of referenceFolders()) {
    const cases = (await readCases(folder)).cases.map(({ name }) => name);
    const of = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Record<string, unknown>;
    const text = (of["text_config"] ?? of) as Record<string, number>;
    const heads = Math.min(text["num_attention_heads"]!, (text["linear_num_value_heads"] ?? 99) / 2);
    const tensor = [
      [1, 1],
      [1, 1, 1, 1],
      [3, 1],
    ].filter((weights) => {
      return weights.reduce((sum, weight) => sum + weight) <= heads;
    });
    const pipeline = [
      [1, 1],
      [2, 1, 1],
    ].filter((weights) => weights.length <= text["num_hidden_layers"]!);
    for (const weights of tensor) chosen.push({ folder, cases, spread: { by: "tensor", weights } });
    for (const weights of pipeline) chosen.push({ folder, cases, spread: { by: "pipeline", weights } });
  }
  return chosen;
}

for (const { folder, spread, cuts, cases } of all ? await every() : few) {
  const name = `${basename(folder)} by ${spread.by} over ${spread.weights.join(" : ")}`;
  test(`${name} agrees with the reference`, { timeout }, async () => {
    const options = { mode: "f32" as const, spread, cases, ...(cuts && { cuts }) };
    const seen: string[] = [];
    for await (const report of verifyFolder(await testGpu(), folder, options)) {
      expect(report.notRun).toBeUndefined();
      for (const cut of report.cuts) expect(cut.failures, `${report.name}, ${cut.cut}`).toEqual([]);
      expect(report.cuts).toHaveLength(cuts?.length ?? 5);
      seen.push(report.name);
    }
    expect(seen).toEqual(cases);
  });
}

const scratch = mkdtempSync(join(tmpdir(), "spread-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const ids = Array.from({ length: 11 }, (_, i) => (37 * i + 5) % 512);

async function logitsOf(checkpoint: Checkpoint, spread?: Spread): Promise<Float32Array> {
  const config = { ...parseConfig(checkpoint.config, checkpoint.configFile), vision: undefined };
  const team = await Team.create(await testGpu(), checkpoint, config, { capacity: 16, spread });
  try {
    await team.fill();
    team.reset();
    return (await team.feed(ids)).get("logits")!;
  } finally {
    team.destroy();
  }
}

test("a GGUF file in q8_0, in parts, is what it is whole", { timeout }, async () => {
  const plain = await openCheckpoint(reference("qwen3_5-tiny-text"));
  const path = join(scratch, "q8_0.gguf");
  await exportGguf(plain, path, { dtype: "Q8_0" });
  await plain.close();
  await expectSame(await openCheckpoint(path));
});

// Rows of the projections back into the stream are whole blocks of 256, on each device too; of others, smaller ones.
test("weights quantised to q4_k at load, in parts, are what they are whole", { timeout }, async () => {
  await expectSame(await openCheckpoint(reference("qwen3_5-tiny-text"), "q4_k"));
});

async function expectSame(checkpoint: Checkpoint): Promise<void> {
  const whole = await logitsOf(checkpoint);
  const parts = await logitsOf(checkpoint, { by: "tensor", weights: [1, 1] });
  expect(difference(parts, whole).relativeRms).toBeLessThan(1e-5);
  expect(Buffer.compare(Buffer.from(parts.buffer), Buffer.from(whole.buffer))).not.toBe(0); // they were summed
  await checkpoint.close();
}
