// Every wall compiles and binds, with and without f16 and matrices; what it measures needs a device.
import { afterEach, beforeEach, expect, test } from "vitest";
import { oneWidth } from "../test-fixtures/dense.ts";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { wallCases } from "./walls.ts";

let gpu: Gpu;
const errors: string[] = [];
beforeEach(async () => {
  gpu = await openGpu({ backend: "null" }, () => undefined); // one for each, or their buffers were too much for it
  gpu.device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
});
afterEach(async () => {
  await gpu.device.queue.onSubmittedWorkDone();
  gpu.destroy();
  expect(errors.splice(0), "uncaptured GPU errors").toEqual([]);
});

test.each([true, false])("walls, f16 %s", async (f16) => {
  const cases = await wallCases({ ...gpu, has: { ...gpu.has, f16: f16 && gpu.has.f16 } });
  const names = cases.map(({ name }) => name);
  expect(names.slice(0, 3)).toEqual(["wall: read", "wall: multiply-add", "wall: copy"]);
  expect(names.includes("wall: multiply-add f16")).toBe(f16 && gpu.has.f16);
  expect(cases.map(({ unit }) => unit).slice(0, 2)).toEqual(["GB/s", "GFLOP/s"]);
  expect(cases.at(-1)!.plan.kernels).toHaveLength(256);
  for (const { plan } of cases) plan.destroy();
});

/** The walls of matrices, where a device of this kind multiplies them in this shape. */
async function matrixWalls(kind: "hardware" | "software", shape: string) {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  const subgroupMatrixConfigs = [{ componentType: "f16", resultComponentType: "f32", M, N, K }];
  const report = { ...gpu.report, kind, subgroupMatrixConfigs };
  const walls = await wallCases({ ...gpu, report, subgroupSize: oneWidth(32) });
  return walls.filter(({ name }) => name.includes("matrices"));
}

test.each([
  ["16x16x16", 8192],
  ["8x16x16", 4096],
  ["8x8x8", 1024],
] as const)("a card's matrices of %s have a wall", async (shape, flops) => {
  const walls = await matrixWalls("hardware", shape);
  expect(walls.map(({ name, plan }) => [name, plan.kernels])).toEqual([
    [`wall: matrices ${shape}`, ["bench_matrix"]],
  ]);
  expect(walls[0]!.work).toBe(65_535 * 4 * 128 * 8 * flops);
});

test("matrices without units for them have a wall that is as soon measured as the others", async () => {
  const [wall] = await matrixWalls("software", "8x8x8");
  expect(wall!.work).toBe(2048 * 4 * 8 * 8 * 1024);
  expect(wall!.work).toBeLessThan(1e9);
});

test("a card's walls are no larger than what it binds", async () => {
  const limits = { ...gpu.limits, maxStorageBufferBindingSize: 2 ** 25 + 4 };
  const card = { ...gpu, limits, report: { ...gpu.report, kind: "hardware" as const } };
  const create = gpu.device.createBuffer.bind(gpu.device);
  const sizes: number[] = [];
  gpu.device.createBuffer = (asked) => {
    sizes.push(asked.size);
    return create(asked);
  };
  const [read, , copy] = await wallCases(card);
  gpu.device.createBuffer = create;
  expect(Math.max(...sizes)).toBe(2 ** 25);
  expect([read!.work, copy!.work]).toEqual([2 ** 25, 2 ** 26]);
});
