// What a model's plans ask of the tuning is measured before they are made, once. On the null backend, as a card.
import { join } from "node:path";
import { expect, test } from "vitest";
import { heldTo, oneWidth, watchHeld } from "../../test-fixtures/dense.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import type { Subgroups } from "../gpu/subgroups.ts";
import { Tuning } from "../gpu/tuning.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { Runner } from "./runner.ts";

const matrices = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

/** The null backend as a card that multiplies matrices. */
function cardOf(device: Gpu, subgroupSize: Subgroups): Gpu {
  const report = { ...device.report, kind: "hardware" as const, subgroupMatrixConfigs: [matrices] };
  return { ...device, report, subgroupSize };
}

/** Loads a model with layers of every kind; → what it told of the measuring. */
async function load(card: Gpu, tuning: Tuning): Promise<string[]> {
  const gpu = { ...card, tuning };
  const checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text"));
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const network = await architectures[config.modelType](new Loader(gpu, checkpoint), config);
  const phases: string[] = [];
  const hooks = {
    begin: () => Promise.resolve(void phases.push("begin")),
    end: () => void phases.push("end"),
  };
  // The null backend binds eight buffers, of which attention by matrices takes one less over a cache in f16.
  const kvFormat = "f16" as const;
  const options = {
    contextLength: 1024,
    slots: 2,
    chunk: 64,
    flopsPerSubmit: Infinity,
    kvFormat,
    tuning: hooks,
  };
  const runner = await Runner.create(gpu, network, config, options);
  runner.destroy();
  await checkpoint.close();
  return phases;
}

test("a first load measures, a second one knows", async () => {
  const device = await openGpu({ backend: "null" });
  const card = cardOf(device, oneWidth(32));
  const answers: Record<string, string> = {};
  const save = (found: object) => void Object.assign(answers, found);

  expect(await load(card, new Tuning())).toEqual([]);
  expect(answers).toEqual({});
  expect(await load(card, new Tuning({ autotune: true }, { save }))).toEqual(["begin", "end"]);
  const kernels = new Set(Object.keys(answers).map((key) => key.split(/ (bf16|f32|f16)/)[0]));
  expect(kernels).toEqual(
    new Set(["matvec", "matvec normed", "matmul", "attention", "attention split", "delta"]),
  );
  expect(await load(card, new Tuning({ autotune: true }, { measured: answers }))).toEqual([]);
  device.destroy();
});

test("on a card whose kernels are held to a width all ways compile, those by matrices among them", async () => {
  const device = await openGpu({ backend: "null" });
  const modules = watchHeld(device);
  const kernels = new Set<string>();
  const failures: string[] = [];
  const create = device.device.createComputePipelineAsync.bind(device.device);
  device.device.createComputePipelineAsync = (asked) => {
    kernels.add(asked.label!);
    return create(asked).catch((error: Error) => {
      failures.push(error.message);
      throw error;
    });
  };
  expect(await load(cardOf(device, heldTo(32)), new Tuning({ autotune: true }))).toEqual(["begin", "end"]);
  expect(failures).toEqual([]);
  for (const name of [
    "matvec",
    "matmul_matrix",
    "attention_matrix",
    "delta_chunk_matrix",
    "delta_scan_matrix",
  ])
    expect(kernels).toContain(name);
  expect(modules.length).toBeGreaterThan(0);
  for (const { name, held } of modules) expect(held, name).toBe(true);
  device.destroy();
});

test("where no kernel that is held to a width compiles, the autotune finds the ways that do", async () => {
  const device = await openGpu({ backend: "null" });
  const { device: dawn } = device;
  const refused = new WeakSet<GPUShaderModule>();
  const [module, pipeline] = [dawn.createShaderModule.bind(dawn), dawn.createComputePipelineAsync.bind(dawn)];
  dawn.createShaderModule = (asked) => {
    const made = module(asked);
    if (asked.code.includes("@subgroup_size(") && asked.label === "matvec") refused.add(made);
    return made;
  };
  dawn.createComputePipelineAsync = (asked) =>
    refused.has(asked.compute.module) ? Promise.reject(new Error("no such width")) : pipeline(asked);
  const answers: Record<string, string> = {};
  const save = (found: object) => void Object.assign(answers, found);
  const card = cardOf(device, heldTo(16));
  await expect(load(card, new Tuning())).rejects.toThrow("no such width");
  await load(card, new Tuning({ autotune: true }, { save }));
  const matvecs = Object.entries(answers).filter(([key]) => key.startsWith("matvec"));
  expect(matvecs.length).toBeGreaterThan(0);
  for (const [key, way] of matvecs) expect(way, key).toMatch(/workgroup memory$/);
  device.destroy();
});
