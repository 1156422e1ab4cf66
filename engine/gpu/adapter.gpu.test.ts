import { expect, test } from "vitest";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { openGpu, prepareAdapter } from "./adapter.ts";
import { readRanges, type Submit } from "./readback.ts";

test("the device is the one that was asked for", async () => {
  const gpu = await testGpu();
  const wanted = process.env["NEURON_TEST_ADAPTER"]!.replace("lavapipe", "llvmpipe");
  expect(`${gpu.report.name} ${gpu.report.driver}`.toLowerCase()).toContain(wanted);
});

test("the device has the adapter's limits and features, not WebGPU's defaults", async () => {
  const { device, limits, has, subgroupSize, report } = await testGpu();
  expect(limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
  for (const [name, value] of Object.entries(limits))
    expect(device.limits[name as keyof GPUSupportedLimits], name).toBe(value);
  expect(device.features.has("subgroups")).toBe(has.subgroups);
  expect(device.features.has("shader-f16")).toBe(has.f16);
  expect(device.features.has("timestamp-query")).toBe(has.timestamps);
  expect(subgroupSize.min).toBeGreaterThan(0);
  expect(report.memoryTotalMb).toBeGreaterThan(0);
  expect(structuredClone(report)).toEqual(report);
});

test("it computes, with the subgroup size it reports", async () => {
  const { device, has, subgroupSize } = await testGpu();
  const size = has.subgroups ? "size" : "1u";
  const code = `
    ${has.subgroups ? "enable subgroups;" : ""}
    @group(0) @binding(0) var<storage, read_write> y: array<u32>;
    @compute @workgroup_size(3) fn fill(
      @builtin(global_invocation_id) at: vec3u ${has.subgroups ? ", @builtin(subgroup_size) size: u32" : ""}
    ) { y[at.x] = at.x * 1000u + ${size}; }`;
  const compute = { module: device.createShaderModule({ code }) };
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
  const y = device.createBuffer({ size: 24, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const out = device.createBuffer({ size: 24, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [{ binding: 0, resource: { buffer: y } }];
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(2);
  pass.end();
  encoder.copyBufferToBuffer(y, 0, out, 0, 24);
  device.queue.submit([encoder.finish()]);
  await out.mapAsync(GPUMapMode.READ);
  const values = [...new Uint32Array(out.getMappedRange())];
  expect(values.map((v) => Math.floor(v / 1000))).toEqual([0, 1, 2, 3, 4, 5]);
  for (const v of values) {
    expect(v % 1000).toBeGreaterThanOrEqual(subgroupSize.min);
    expect(v % 1000).toBeLessThanOrEqual(subgroupSize.max);
  }
});

test("an adapter's index opens the same adapter as its name", async () => {
  const byName = await prepareAdapter({ adapter: process.env["NEURON_TEST_ADAPTER"] });
  expect(await prepareAdapter({ device: byName.index })).toEqual(byName);
  expect(byName.shaderChecks, "on software").toBe(true);
});

test.each([true, false])("an index past an array's end, shader checks: %s", async (shaderChecks) => {
  const choice = await prepareAdapter({ adapter: process.env["NEURON_TEST_ADAPTER"], shaderChecks });
  expect(choice.shaderChecks).toBe(shaderChecks);
  const { device, destroy } = await openGpu(choice, () => undefined);
  const code = `
    @group(0) @binding(0) var<storage, read_write> y: array<u32>;
    var<workgroup> near: array<u32, 4>;
    var<workgroup> far: array<u32, 4>;
    @compute @workgroup_size(1) fn reach() {
      for (var i = 0u; i < 4u; i++) { near[i] = 7u; far[i] = 9u; }
      y[0] = near[y[0]] + far[y[0]];
    }`;
  const compute = { module: device.createShaderModule({ code }) };
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const y = device.createBuffer({ size: 4, usage });
  device.queue.writeBuffer(y, 0, Uint32Array.of(4)); // the first of the array behind it, where nobody looks
  const submit: Submit = (last) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: y } }];
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    last(encoder);
    device.queue.submit([encoder.finish()]);
  };
  const [sum] = await readRanges({ device }, [{ source: y, offset: 0, bytes: 4 }], submit);
  if (shaderChecks) expect(new Uint32Array(sum!)[0]).toBe(16);
  else expect(new Uint32Array(sum!)[0]).not.toBe(16);
  destroy();
});

test("destroy ends the device, and says so", async () => {
  const lines: string[] = [];
  const gpu = await openGpu({ adapter: process.env["NEURON_TEST_ADAPTER"] }, (line) => lines.push(line));
  gpu.destroy();
  expect((await gpu.lost).reason).toBe("destroyed");
  expect(lines[0]).toContain(gpu.report.name);
  expect(lines.length).toBe(gpu.report.kind === "software" ? 2 : 1);
});
