// A draw compiles on the null backend, which has no more workgroup memory than every device has.
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep } from "../gpu/step.ts";
import { free, permanent } from "../gpu/tensor.ts";
import { createDrawMemory, freeDrawMemory, sample } from "./sample.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

test.each([
  ["hardware", 1000],
  ["hardware", 151_936],
  ["hardware", 248_320],
  ["hardware", 420_011],
  ["software", 248_320],
] as const)("on %s, of %i tokens", async (kind, V) => {
  expect(gpu.limits.maxComputeWorkgroupStorageSize).toBe(16_384);
  const on = { ...gpu, report: { ...gpu.report, kind } };
  const memory = createDrawMemory(on, 2, V);
  const logits = permanent(on, "logits", [2, V]);
  const step = createStep(on, true);
  const recording = new Recording(on, { capacity: 2, step, batch: true });
  const plan = await recording.finish([sample(recording, logits, memory)]);
  expect(plan.kernels).toEqual(["sample_blocks", "sample_pick"]);
  plan.destroy();
  freeDrawMemory(memory);
  free(logits, step);
});
