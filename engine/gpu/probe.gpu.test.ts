import { expect, test } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { provenSubgroups, subgroupsHold } from "./probe.ts";

const gpu = await testGpu();
const { width } = gpu.subgroupSize;

test("the adapter's one width is found to be true", () => {
  expect(width).toBe(gpu.subgroupSize.min);
});

test.skipIf(width === undefined)("any other width is found to be wrong", async () => {
  for (const wrong of [width! / 2, 2 * width!]) {
    const subgroupSize = { min: wrong, max: wrong, width: wrong };
    expect(await subgroupsHold({ ...gpu, subgroupSize }, wrong), `${wrong} lanes`).toBe(false);
  }
});

test.skipIf(!gpu.device.features.has("subgroup-size-control"))(
  "an adapter that is said to have several widths is held to one, where it has that",
  async () => {
    const held = { ...gpu, subgroupSize: { min: width! / 2, max: 2 * width!, width: width! } };
    const codes: string[] = [];
    const create = gpu.device.createShaderModule;
    gpu.device.createShaderModule = (asked) => (codes.push(asked.code), create.call(gpu.device, asked));
    const lines: string[] = [];
    expect(await provenSubgroups(held, (line) => lines.push(line))).toEqual(held.subgroupSize);
    expect(codes).toEqual([expect.stringContaining(`@subgroup_size(${width}u) @compute`)]);
    const other = { ...held, subgroupSize: { ...held.subgroupSize, width: 2 * width! } };
    expect((await provenSubgroups(other, (line) => lines.push(line))).width).toBe(undefined);
    expect(lines).toEqual([expect.stringContaining("fail when they are tried")]);
    gpu.device.createShaderModule = create;
  },
);
