import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../gpu/adapter.ts";
import * as reference from "../reference/delta.ts";
import { DeltaLayer, deltaInputs } from "../../test-fixtures/delta.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

const odd = { keyHeads: 2, valueHeads: 6, keyDim: 32, valueDim: 64, conv: 4 };
const released = { keyHeads: 1, valueHeads: 2, keyDim: 128, valueDim: 128, conv: 4 };

describe.each([
  ["2 and 6 heads of 32 and 64", odd],
  ["1 and 2 heads of 128", released],
])("%s", (_, config) => {
  test.each([1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 130, 257])("%d tokens", async (T) => {
    const inputs = deltaInputs(config, T, T);
    const twin = reference.deltaTwinState(config);
    const { y } = reference.deltaRule(inputs.u, inputs.weights, config, twin);
    const layer = new DeltaLayer(gpu, inputs);
    expectClose(await layer.run(T), y, 1e-4, "y");
    expectClose(await layer.readS(), twin.S, 1e-5, "S");
    expectClose(await layer.readWindow(), twin.window, 0, "window");
    layer.destroy();
  });
});
expect(1).toBe(1);
