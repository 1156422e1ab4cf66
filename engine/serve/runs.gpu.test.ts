// A card has plans for short runs of a prompt beside that of a whole chunk: each run takes the shortest that holds it, and
// however a prompt is cut, what follows it is the same.
import { join } from "node:path";
import { beforeAll, expect, test, vi } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { Plan } from "../gpu/plan.ts";
import { Tuning } from "../gpu/tuning.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { Sequence } from "./oneSequence.ts";
import { Runner } from "./runner.ts";

vi.setConfig({ testTimeout: 300_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const [contextLength, mostTokens] = [320, 300];
const ids = Array.from({ length: 290 }, (_, i) => (i * i * 31 + 7 * i) % 300);

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

/** The logits behind the prompt, cut into such chunks, and the capacities of the plans that ran. */
async function prompt(on: Gpu, chunks: readonly number[]) {
  const checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference/qwen3-tiny-tied"));
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const loader = new Loader(on, checkpoint);
  const network = await architectures[config.modelType](loader, config);
  await loader.fill();
  const options = { contextLength, slots: 1, chunk: mostTokens, flopsPerSubmit: Infinity };
  const runner = await Runner.create(on, network, config, options);
  const submit = vi.spyOn(Plan.prototype, "submit");
  const answers = new Map<number, { logits: Float32Array; capacities: number[] }>();
  for (const chunk of chunks) {
    submit.mockClear();
    const logits = (await new Sequence(runner, { chunk }).prompt(ids, "logits")) as Float32Array;
    const capacities = submit.mock.contexts.map((plan) => (plan as Plan).capacity).filter((n) => n > 1);
    answers.set(chunk, { logits, capacities });
  }
  submit.mockRestore();
  runner.destroy();
  loader.dispose();
  await checkpoint.close();
  return answers;
}

const card = (tuning = new Tuning()): Gpu => ({
  ...gpu,
  tuning,
  report: { ...gpu.report, kind: "hardware" },
});

test("each run takes the shortest plan that holds it", async () => {
  const whole = (await prompt(gpu, [mostTokens])).get(mostTokens)!;
  expect(whole.capacities).toEqual([300]);
  const cut = await prompt(card(), [mostTokens, 256, 65, 64]);
  expect([...cut].map(([chunk, { capacities }]) => [chunk, capacities])).toEqual([
    [300, [300]],
    [256, [256, 64]],
    [65, [256, 256, 256, 256, 64]],
    [64, [64, 64, 64, 64, 64]],
  ]);
  const size = Math.hypot(...whole.logits) / Math.sqrt(whole.logits.length);
  for (const [chunk, { logits }] of cut) {
    const error = Math.hypot(...logits.map((x, i) => x - whole.logits[i]!)) / Math.sqrt(logits.length);
    expect(error / size, `by ${chunk}`).toBeLessThan(1e-5);
  }
});

test("strict mode has one plan, whose sums have one order", async () => {
  const cut = await prompt(card(new Tuning({ strict: true })), [mostTokens, 64]);
  expect(cut.get(64)!.capacities).toEqual([300, 300, 300, 300, 300]);
  expect(cut.get(64)!.logits).toEqual(cut.get(mostTokens)!.logits);
});
