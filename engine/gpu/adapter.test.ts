import { afterEach, expect, test, vi } from "vitest";
import { checksShaders, openGpu } from "./adapter.ts";

afterEach(() => {
  vi.doUnmock("webgpu");
  vi.resetModules();
});

test("the null backend opens, with all that a shader may ask for, and says so to nobody", async () => {
  const lines: string[] = [];
  const gpu = await openGpu({ backend: "null" }, (line) => lines.push(line));
  expect(gpu.report).toMatchObject({ name: "null", backend: "null", index: 0 });
  expect(gpu.has).toEqual({ f16: true, subgroups: true, timestamps: true, subgroupMatrix: true });
  expect(lines).toEqual([]);
  gpu.destroy();
  expect((await gpu.lost).reason).toBe("destroyed");
});

test('the adapter "null" is the null backend', async () => {
  const gpu = await openGpu({ adapter: "null" });
  expect(gpu.report.backend).toBe("null");
  gpu.destroy();
});

test("the null backend refuses what does not compile", async () => {
  const { device, destroy } = await openGpu({ backend: "null" });
  device.pushErrorScope("validation");
  device.createShaderModule({ code: "@compute @workgroup_size(1) fn wrong() { let x = clampp(1, 2, 3); }" });
  expect((await device.popErrorScope())?.message).toMatch(/clampp/);
  destroy();
});

test("where Dawn has no build the error says so, and the survey still reports", async () => {
  vi.resetModules();
  vi.doMock("webgpu", () => {
    throw new Error("no such file");
  });
  const adapter = await import("./adapter.ts");
  await expect(adapter.openGpu()).rejects.toMatchObject({
    code: "no_adapter",
    message: expect.stringContaining(
      `Dawn does not run on this machine (${process.platform}-${process.arch})`,
    ),
  });
  const { survey } = await import("./survey.ts");
  const { devices, advice } = await survey();
  expect(devices).toEqual([]);
  expect(advice).toMatchObject([{ level: "problem", text: expect.stringContaining("Dawn does not run") }]);
});

test.each([
  ["hardware", undefined, false],
  ["hardware", true, true],
  ["software", undefined, true],
  ["software", false, false],
] as const)("shader checks on %s, where %s is said: %s", (kind, said, want) => {
  expect(checksShaders(kind, said)).toBe(want);
});
