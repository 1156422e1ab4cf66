// The mat-vec for several sequences compiles with every weight format, norm, ending and number of columns.
import { afterAll, beforeAll, expect, test } from "vitest";
import { oneWidth } from "../../test-fixtures/dense.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { createStep } from "../gpu/step.ts";
import { isBlockFormat, permanent, weightFormats } from "../gpu/tensor.ts";
import { createWeight } from "../gpu/weight.ts";
import { linear, normLinear, normSwiglu } from "./linear.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

test.each([
  ["llvmpipe", "software", "matvec_tiles"],
  ["SwiftShader", "software", "matvec_lanes"],
  ["a card", "hardware", "matvec"],
] as const)("on %s", async (name, kind, several) => {
  const on: Gpu = {
    ...gpu,
    has: { ...gpu.has, subgroups: true },
    subgroupSize: oneWidth(8),
    report: { ...gpu.report, kind, name },
  };
  const norm = { eps: 1e-6, offset: 1 } as const;
  for (const format of weightFormats) {
    for (const T of [2, 3, 8, 16]) {
      const K = isBlockFormat(format) ? 256 : T === 3 ? 70 : 64;
      const pass = new Recording(on, { capacity: T, batch: true, step: createStep(on, true) });
      const W = createWeight(on, "W", [30, K], format);
      const [x, w] = [permanent(on, "x", [T, K]), permanent(on, "w", [K])];
      const add = permanent(on, "add", [T, 30]);
      const outputs = [
        linear(pass, x, W, { add }),
        normLinear(pass, x, w, norm, W),
        normSwiglu(pass, x, w, norm, W),
      ];
      const { kernels } = await pass.finish(outputs);
      const product = K === 70 ? several.replace("_tiles", "_lanes") : several;
      expect(kernels, `${format}, ${T} tokens`).toEqual([product, product, product]);
    }
  }
});
