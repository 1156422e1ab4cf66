// The plan against what is really allocated, on Dawn's null backend, which knows sizes and computes nothing.
import { join } from "node:path";
import { expect, test } from "vitest";
import { demoModel, referenceFolders } from "../../test-fixtures/golden.ts";
import { openCheckpoint, type Checkpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { finishTiles } from "../gpu/tileWriter.ts";
import { createWeight, writeRows } from "../gpu/weight.ts";
import { parseConfig, supportedModelTypes, type ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { createMemory } from "../models/memory.ts";
import { architectures } from "../models/registry.ts";
import { visionTower } from "../models/vision.ts";
import { visionConfig } from "../models/visionConfig.ts";
import { pageBytes, stateBytes } from "./memoryPlan.ts";
import { PAGE } from "./pages.ts";
import { countingGpu } from "./counting.ts";
import { weigh } from "./weigh.ts";

const folders = [demoModel, ...referenceFolders()];

async function open(folder: string): Promise<{ checkpoint: Checkpoint; config: ModelConfig } | undefined> {
  const checkpoint = await openCheckpoint(folder);
  const { model_type: type } = checkpoint.config as { model_type: (typeof supportedModelTypes)[number] };
  if (!supportedModelTypes.includes(type)) {
    await checkpoint.close();
    return undefined;
  }
  return { checkpoint, config: parseConfig(checkpoint.config, checkpoint.configFile) };
}

/** Sizes of the buffers that a device is asked for. */
function watched(gpu: Gpu): number[] {
  const sizes: number[] = [];
  const create = gpu.device.createBuffer.bind(gpu.device);
  gpu.device.createBuffer = (descriptor) => {
    sizes.push(descriptor.size);
    return create(descriptor);
  };
  return sizes;
}

const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);

test.each(folders)("weights of %s", async (folder) => {
  const opened = await open(folder);
  if (!opened) return;
  const { checkpoint, config } = opened;
  const gpu = await openGpu({ backend: "null" }, () => undefined);
  gpu.limits.maxStorageBufferBindingSize = 40_000; // so that the larger weights are in shards
  const load = async (loader: Loader) => {
    await architectures[config.modelType](loader, config);
    const vision = visionConfig(config, checkpoint.configFile);
    if (vision) await visionTower(loader, vision);
  };
  const read: string[] = [];
  const silent = new Proxy(checkpoint, {
    get: (target, name) => {
      if (name === "stream") read.push(String(name));
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const weighed = await weigh(silent, gpu, load);
  expect(read).toEqual([]);

  const sizes = watched(gpu);
  const loader = new Loader(gpu, checkpoint);
  await load(loader);
  expect(weighed).toEqual({ bytes: sum(sizes), buffers: sizes.length, parameters: loader.parameters });
  expect(weighed.bytes).toBeGreaterThanOrEqual(loader.bytes);
  await checkpoint.close();
});

test.each(folders)("pages and states of %s", async (folder) => {
  const opened = await open(folder);
  if (!opened) return;
  const { checkpoint, config } = opened;
  const gpu = await openGpu({ backend: "null" }, () => undefined);
  const sizes = watched(gpu);
  const { table, bounce } = createMemory(gpu, config, { slots: 1, capacity: 7 * PAGE, snapshots: 2 });
  const headBytes = 4 * config.headDim;
  const apart = table.storage.buffer!.size + bounce.storage.buffer!.size;
  expect(7 * pageBytes({ config, headBytes }) + 3 * stateBytes(config) + apart).toBe(sum(sizes));
  await checkpoint.close();
});

test("a checkpoint that cannot be loaded cannot be weighed", async () => {
  const folder = join(demoModel, "..", "..", "reference", "qwen3-tiny-tied");
  const { checkpoint, config } = (await open(folder))!;
  const gpu = await openGpu({ backend: "null" }, () => undefined);
  const wider = { ...config, intermediate: config.intermediate + 32 };
  await expect(weigh(checkpoint, gpu, (loader) => architectures.qwen3(loader, wider))).rejects.toMatchObject({
    code: "bad_checkpoint",
  });
  await checkpoint.close();
});

test("what is written to tiles passes through memory that is not counted", async () => {
  const { limits } = await openGpu({ backend: "null" }, () => undefined);
  const { gpu, counted } = countingGpu({
    limits,
    report: { kind: "software", name: "llvmpipe" },
    has: { subgroups: true },
    subgroupSize: { min: 8, max: 8, width: 8 },
  } as unknown as Gpu);
  const weight = createWeight(gpu, "W", [64, 512], "bf16");
  const before = { ...counted };
  expect(before).toEqual({ bytes: 64 * 1024, buffers: 1 }); // a row of the texture
  writeRows(gpu, weight, 0, new Uint8Array(20 * 1024));
  finishTiles(gpu);
  writeRows(gpu, weight, 20, new Uint8Array(44 * 1024));
  expect(counted).toEqual(before);
});
