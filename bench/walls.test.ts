// Every wall compiles and binds, with and without f16; what it measures needs a device.
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { wallCases } from "./walls.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" }, () => undefined);
});
afterAll(() => gpu.destroy());

test.each([true, false])("walls, f16 %s", async (f16) => {
  const cases = await wallCases({ ...gpu, has: { ...gpu.has, f16: f16 && gpu.has.f16 } });
  const names = cases.map(({ name }) => name);
  expect(names.slice(0, 3)).toEqual(["wall: read", "wall: multiply-add", "wall: copy"]);
  expect(names.includes("wall: multiply-add f16")).toBe(f16 && gpu.has.f16);
  expect(cases.map(({ unit }) => unit).slice(0, 2)).toEqual(["GB/s", "GFLOP/s"]);
  expect(cases.at(-1)!.plan.kernels).toHaveLength(256);
  for (const { plan } of cases) plan.destroy();
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
