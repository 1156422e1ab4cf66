// The plan against what a load really asks of a device, to the byte, on Dawn's null backend.
import { expect, test, beforeAll, afterAll } from "vitest";
import { demoModel, referenceFolders } from "../../test-fixtures/golden.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { supportedModelTypes } from "../models/config.ts";
import { loadModel } from "./device.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import { planModel } from "./planModel.ts";
import type { LoadOptions } from "./types.ts";

const mib = 2 ** 20;
let gpu: Gpu;
let sizes: number[] = [];

beforeAll(async () => {
  gpu = await openGpu({ backend: "null" }, () => undefined);
  const create = gpu.device.createBuffer.bind(gpu.device);
  gpu.device.createBuffer = (descriptor) => {
    // What comes and goes with each turn is the plan's "staging".
    if (descriptor.label !== "readback") sizes.push(descriptor.size);
    return create(descriptor);
  };
});
afterAll(() => {
  gpu.destroy();
});

async function plan(folder: string, options: LoadOptions, bytes?: number) {
  const checkpoint = await openCheckpoint(folder, options.quant);
  try {
    const budget = bytes === undefined ? undefined : { bytes, source: "a test" };
    return await planModel(gpu, checkpoint, options, budget);
  } finally {
    await checkpoint.close();
  }
}

/** Of the plan, what no buffer of the load is for. */
function apart({ parts }: MemoryPlan): number {
  return sum(parts.filter(({ what }) => ["staging", "pictures"].includes(what)).map(({ bytes }) => bytes));
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

async function folders(): Promise<string[]> {
  const supported = [];
  for (const folder of [demoModel, ...referenceFolders()]) {
    const checkpoint = await openCheckpoint(folder);
    const { model_type: type } = checkpoint.config as { model_type: (typeof supportedModelTypes)[number] };
    if (supportedModelTypes.includes(type)) supported.push(folder);
    await checkpoint.close();
  }
  return supported;
}

test.each(await folders())("%s takes what was planned", { timeout: 60_000 }, async (folder) => {
  for (const options of [
    { contextLength: 192, maxInFlight: 3 },
    { contextLength: 640, maxInFlight: 1 },
  ]) {
    const planned = await plan(folder, { ...options, imageCacheBytes: 0 });
    sizes = [];
    const model = await loadModel(gpu, folder, { ...options, imageCacheBytes: 0 });
    expect(planned.totalBytes - apart(planned)).toBe(sum(sizes));
    expect(model.info.plans[0]).toEqual(planned);
    expect(model.info).toMatchObject(options);
    model.destroy();
  }
});

test("the advertised context follows from what is left, and is exact too", { timeout: 60_000 }, async () => {
  const alone = { maxInFlight: 1, prefixCache: false };
  const whole = await plan(demoModel, alone);
  const bytes = ({ parts }: MemoryPlan, of: string) => parts.find(({ what }) => what === of)?.bytes ?? 0;
  const fixed = whole.totalBytes - bytes(whole, "KV cache");
  const half = await plan(demoModel, alone, fixed + (whole.totalBytes - fixed) / 2);
  expect(half.contextLength).toBeLessThan(whole.contextLength * 0.6);
  expect(half.contextLength).toBeGreaterThan(whole.contextLength * 0.4);
  expect(half.totalBytes).toBeLessThanOrEqual(half.budget!.bytes);
  sizes = [];
  const options = { contextLength: half.contextLength, ...alone };
  const model = await loadModel(gpu, demoModel, options);
  // Nobody told the load how little there is, so it has room for a saved state.
  const saved = bytes(model.info.plans[0]!, "snapshots") - bytes(half, "snapshots");
  expect(half.totalBytes - apart(half) + saved).toBe(sum(sizes));
  model.destroy();
});

test("fewer sequences at once where there is no room for a whole context and so many states", async () => {
  const options = { contextLength: 512, prefixCache: false };
  const many = await plan(demoModel, options);
  const one = await plan(demoModel, { ...options, maxInFlight: 1 });
  expect(many.slots).toBeGreaterThan(2);
  const fewer = await plan(demoModel, options, (many.totalBytes + one.totalBytes) / 2);
  expect(fewer.contextLength).toBe(512);
  expect(fewer.totalBytes).toBeLessThanOrEqual(fewer.budget!.bytes);
  expect([fewer.slots < many.slots || fewer.pages < many.pages, fewer.slots >= 1]).toEqual([true, true]);
});

test("what does not fit is refused before anything is allocated, with the arithmetic", async () => {
  sizes = [];
  const refused = loadModel(gpu, demoModel, { contextLength: 512, memoryLimitMb: 5 });
  const text =
    /does not fit: a context of 512 tokens and 1 at once take weights .* MiB \+ KV cache .* = .* MiB; there/;
  await expect(refused).rejects.toMatchObject({
    code: "out_of_memory",
    message: expect.stringMatching(text) as string,
    details: { needed: expect.any(Number) as number, available: 5 * mib },
  });
  expect(sizes).toEqual([]);
});

test("models share a device's memory: what others were promised is gone", async () => {
  const { totalBytes } = await plan(demoModel, { contextLength: 512, maxInFlight: 2 });
  const memoryLimitMb = Math.ceil((1.5 * totalBytes) / mib);
  const options = { contextLength: 512, maxInFlight: 2, memoryLimitMb };
  const first = await loadModel(gpu, demoModel, options);
  expect(first.info.plans[0]!.totalBytes).toBe(totalBytes);
  await expect(loadModel(gpu, demoModel, options, { promised: totalBytes })).rejects.toMatchObject({
    code: "out_of_memory",
    message: expect.stringContaining("promised to other models") as string,
  });
  first.destroy();
});

test("a longer context than the checkpoint knows", async () => {
  await expect(plan(demoModel, { contextLength: 10 ** 7 })).rejects.toMatchObject({ code: "bad_request" });
});
