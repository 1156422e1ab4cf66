import { expect, test } from "vitest";
import { openGpu } from "./adapter.ts";
import { Recording } from "./recording.ts";
import { createStep } from "./step.ts";
import { permanent } from "./tensor.ts";

test("what has no workgroups for a run is not dispatched, and counts for no submit", async () => {
  const gpu = await openGpu({ backend: "null" });
  const pass = new Recording(gpu, { capacity: 8, step: createStep(gpu, false) });
  const count = permanent(gpu, "count", [4], undefined, "u32");
  for (const first of [0, 4, 6])
    pass.dispatch("bench_nothing", [count], {
      groups: [(tokens) => Math.max(0, tokens - first)],
      flops: 10,
    });
  const plan = await pass.finish();
  const dispatched: number[] = [];
  let submits = 0;
  const { device } = gpu;
  const createEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = () => {
    const encoder = createEncoder();
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = () => {
      const own = begin();
      const dispatch = own.dispatchWorkgroups.bind(own);
      own.dispatchWorkgroups = (x, y, z) => {
        dispatched.push(x);
        return dispatch(x, y, z);
      };
      return own;
    };
    submits += 1;
    return encoder;
  };
  plan.submit(4, 10);
  expect({ dispatched, submits }).toEqual({ dispatched: [4], submits: 1 });
  plan.submit(7, 10);
  expect({ dispatched, submits }).toEqual({ dispatched: [4, 7, 3, 1], submits: 4 });
  gpu.destroy();
});
