// What is open is measured in each of its ways, on what it was asked for. On the null backend, as a card.
import { expect, test } from "vitest";
import { asTheyAre, stillRope, withTensors } from "../../test-fixtures/attention.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep } from "../gpu/step.ts";
import { free, permanent } from "../gpu/tensor.ts";
import { Tuning, type Answers } from "../gpu/tuning.ts";
import { attend } from "./attend.ts";
import { attention } from "./attention.ts";
import { createKvCache, createPageTable, kvFormats } from "./kv-cache.ts";
import { tune } from "./tune.ts";

/** The device as a card, and the constants of each kernel that it has compiled. */
async function watched(tuning: Tuning): Promise<{ gpu: Gpu; compiled: Record<string, number>[] }> {
  const gpu = await openGpu({ backend: "null" });
  const compiled: Record<string, number>[] = [];
  const create = gpu.device.createComputePipelineAsync.bind(gpu.device);
  gpu.device.createComputePipelineAsync = (asked) => {
    compiled.push(asked.compute.constants ?? {});
    return create(asked);
  };
  return { gpu: { ...gpu, tuning, report: { ...gpu.report, kind: "hardware" } }, compiled };
}

test.each(kvFormats)("attention over a cache in %s", async (format) => {
  const saved: Answers[] = [];
  const tuning = new Tuning({ autotune: true }, { save: (answers) => saved.push(answers) });
  const { gpu, compiled } = await watched(tuning);
  const [heads, kvHeads, headDim] = [6, 2, 64];
  const table = createPageTable(gpu, 1, 700);
  const cache = createKvCache(gpu, { format, pages: 11, kvHeads, headDim, table });
  for (const T of [1, 48]) {
    const pass = new Recording(gpu, { capacity: T, step: createStep(gpu, false) });
    await withTensors(
      gpu,
      { qkv: [[T, 10 * 64], new Float32Array(T * 640)], ...stillRope(headDim, T) },
      (on) => {
        attend(pass, on["qkv"]!, { heads, kvHeads, headDim, gate: false, cache, ...asTheyAre(on, headDim) });
        return Promise.resolve();
      },
    );
  }
  free(cache.k, cache.v, table);
  await tune(gpu);
  const of = (name: string) => [...new Set(compiled.flatMap(({ [name]: value }) => value ?? []))];
  expect(of("SPLITS").sort((a, b) => a - b)).toEqual([4, 8, 11]);
  const tiles = compiled.flatMap(({ ROWS, KEYS }) => (ROWS === undefined ? [] : [`${ROWS}x${KEYS}`]));
  expect([...new Set(tiles)]).toEqual(expect.arrayContaining(["32x64", "16x64", "32x32"]));
  expect(Object.keys(Object.assign({}, ...saved) as Answers).sort()).toEqual([
    `attention ${format} 6:2x64 48 tokens`,
    `attention split ${format} 6:2x64 of 704`,
  ]);
  gpu.device.destroy();
});

/** Buffers of a device: all that are made from now on, and those that are not destroyed yet. */
function counted(device: GPUDevice): { made: number; live: Set<GPUBuffer> } {
  const count = { made: 0, live: new Set<GPUBuffer>() };
  const create = device.createBuffer.bind(device);
  device.createBuffer = (asked) => {
    const buffer = create(asked);
    const destroy = buffer.destroy.bind(buffer);
    count.made += 1;
    count.live.add(buffer);
    buffer.destroy = () => {
      count.live.delete(buffer);
      return destroy();
    };
    return buffer;
  };
  return count;
}

/** A device on which one question of attention is open. */
async function asked(): Promise<{ gpu: Gpu; saved: Answers[] }> {
  const saved: Answers[] = [];
  const tuning = new Tuning({ autotune: true }, { save: (answers) => saved.push(answers) });
  const { gpu } = await watched(tuning);
  const [heads, kvHeads, headDim] = [6, 2, 64];
  const table = createPageTable(gpu, 1, 700);
  const cache = createKvCache(gpu, { pages: 11, kvHeads, headDim, table });
  const pass = new Recording(gpu, { capacity: 48, step: createStep(gpu, false) });
  attention(pass, permanent(gpu, "q", [48, heads, headDim]), cache, { heads, kvHeads, headDim });
  expect(tuning.open).toHaveLength(1);
  return { gpu, saved };
}

test("ways that do not compile leave nothing behind", async () => {
  const { gpu, saved } = await asked();
  const count = counted(gpu.device);
  gpu.device.createComputePipelineAsync = () => Promise.reject(new Error("no such kernel here"));
  await tune(gpu);
  expect(count.made).toBeGreaterThan(0);
  expect(count.live.size).toBe(0);
  expect(saved).toHaveLength(1); // that it is the guess
  gpu.device.destroy();
});

test("what there is no room for has no answer, leaves nothing behind, and is no error of the load", async () => {
  const { gpu, saved } = await asked();
  const { device } = gpu;
  const count = counted(device);
  const filters: GPUErrorFilter[] = [];
  const [push, pop] = [device.pushErrorScope.bind(device), device.popErrorScope.bind(device)];
  device.pushErrorScope = (filter) => {
    filters.push(filter);
    return push(filter);
  };
  device.popErrorScope = async () => {
    const filter = filters.pop();
    const error = await pop();
    return filter === "out-of-memory" ? new GPUOutOfMemoryError("none left") : error;
  };
  await tune(gpu);
  expect(count.made).toBeGreaterThan(0);
  expect(count.live.size).toBe(0);
  expect(saved.flatMap((answers) => Object.keys(answers))).toEqual([]);
  device.destroy();
});

test("a strict device asks nothing and takes the guess", async () => {
  const tuning = new Tuning({ autotune: true, strict: true }, { measured: { x: "y" } });
  const { gpu, compiled } = await watched(tuning);
  const [heads, kvHeads, headDim] = [6, 2, 64];
  const table = createPageTable(gpu, 1, 700);
  const cache = createKvCache(gpu, { pages: 11, kvHeads, headDim, table });
  const pass = new Recording(gpu, { capacity: 48, step: createStep(gpu, false) });
  attention(pass, permanent(gpu, "q", [48, heads, headDim]), cache, { heads, kvHeads, headDim });
  const plan = await pass.finish();
  expect(tuning.open).toEqual([]);
  expect(compiled).toEqual([expect.objectContaining({ ROWS: 32, KEYS: 64 })]);
  plan.destroy();
  gpu.device.destroy();
});
