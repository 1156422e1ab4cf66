import { expect, test } from "vitest";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { Recording } from "../engine/gpu/recording.ts";
import { createStep } from "../engine/gpu/step.ts";
import { permanent } from "../engine/gpu/tensor.ts";
import { createWeight } from "../engine/gpu/weight.ts";
import { linear } from "../engine/ops/linear.ts";
import { emulating, withMatrices } from "./matrices.ts";

const gpu = await openGpu({ backend: "null" });
const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const plain: Gpu = {
  ...gpu,
  has: { ...gpu.has, subgroups: true, subgroupMatrix: false },
  subgroupSize: { min: 32, max: 32, width: 32 },
};
const card: Gpu = {
  ...plain,
  has: { ...plain.has, f16: true, subgroupMatrix: true },
  report: { ...gpu.report, subgroupMatrixConfigs: [config] },
};

test.each([
  ["16x16x16", plain, "matrix/emulated"],
  ["16x16x16", card, "matrix/units"],
  ["8x16x16", card, "matrix/emulated"],
] as const)("matrices of %s", (shape, device, part) => {
  const pass = new Recording(withMatrices(device, shape), { capacity: 20, step: createStep(gpu, false) });
  const parts: (readonly string[])[] = [];
  pass.dispatch = (_, __, options) => void parts.push(options.parts ?? []);
  const [x, W] = [permanent(gpu, "x", [20, 64]), createWeight(gpu, "W", [24, 64], "bf16")];
  linear(emulating(pass, []), x, W);
  expect(parts.at(-1)!.filter((one) => one === "matrix/units" || one === "matrix/emulated")).toEqual([part]);
});
