import { expect, test } from "vitest";
import { openGpu } from "./adapter.ts";
import { held, joinSources, kernelsOf } from "./kernel.ts";
import { provenSubgroups } from "./probe.ts";
import type { DeviceReport } from "./report.ts";
import { holdOf, pinOf, subgroupsOf } from "./subgroups.ts";

const dawn = { backend: "vulkan", control: true };

test.each([
  ["NVIDIA", { ...dawn, vendor: "nvidia", min: 32, max: 32 }, 32],
  ["AMD, RDNA", { ...dawn, vendor: "amd", min: 32, max: 64 }, 32],
  ["AMD, GCN and CDNA", { ...dawn, vendor: "amd", min: 64, max: 64 }, 64],
  ["AMD by Direct3D", { ...dawn, vendor: "amd", backend: "d3d12", min: 32, max: 64 }, 32],
  ["AMD with an old driver", { ...dawn, vendor: "amd", control: false, min: 32, max: 64 }, undefined],
  ["Intel until Xe", { ...dawn, vendor: "intel", min: 8, max: 32 }, 16],
  ["Intel Xe2", { ...dawn, vendor: "intel", min: 16, max: 32 }, 32],
  ["Apple", { ...dawn, vendor: "apple", backend: "metal", min: 32, max: 32 }, 32],
  ["a Mac's other card", { vendor: "amd", backend: "metal", control: false, min: 4, max: 64 }, undefined],
  ["Samsung's RDNA", { ...dawn, vendor: "samsung", min: 32, max: 64 }, 32],
  ["Qualcomm", { ...dawn, vendor: "qualcomm", min: 64, max: 128 }, 64],
  [
    "Qualcomm, held to what no kernel has room for",
    { ...dawn, vendor: "qualcomm", min: 128, max: 128 },
    undefined,
  ],
  ["Arm", { ...dawn, vendor: "arm", min: 16, max: 16 }, 16],
  ["an old PowerVR", { ...dawn, vendor: "img-tec", min: 1, max: 1 }, undefined],
  ["of no power of two", { ...dawn, vendor: "nobody", min: 24, max: 24 }, undefined],
  ["lavapipe", { ...dawn, vendor: "mesa", min: 8, max: 8 }, 8],
  ["SwiftShader", { ...dawn, vendor: "google", min: 4, max: 4 }, 4],
  ["the null backend", { ...dawn, vendor: "null", backend: "null", min: 4, max: 128 }, undefined],
])("%s", (_, facts, width) => {
  const subgroups = subgroupsOf(facts);
  expect(subgroups).toEqual({ min: facts.min, max: facts.max, width });
  const has = { f16: false, subgroups: true, timestamps: false, subgroupMatrix: false };
  expect(pinOf({ has, subgroupSize: subgroups })).toBe(facts.min === facts.max ? undefined : width);
  expect(pinOf({ has: { ...has, subgroups: false }, subgroupSize: subgroups })).toBe(undefined);
});

const to = (width: number | undefined) => () => width;

test("a kernel with subgroups is held to a width, one without is left alone", () => {
  const code = held("gated_norm", joinSources(["reduce/subgroup", "gated_norm"]), to(16));
  expect(code).toMatch(/^enable subgroup_size_control;\n/);
  expect(code).toMatch(/^@subgroup_size\(16u\) @compute @workgroup_size\(LANES\)$/m);
  const plain = joinSources(["reduce/workgroup", "gated_norm"]);
  const amd = holdOf({ ...card("amd"), subgroupSize: { min: 32, max: 64, width: 32 } });
  expect(held("gated_norm", plain, amd)).toBe(plain);
  const two = joinSources(["reduce/subgroup", "gated_norm", "rms_norm"]);
  expect(() => held("gated_norm", two, to(16))).toThrow(/one kernel/);
});

/** One that chooses its kernels' widths. */
function card(vendor: string) {
  const has = { f16: true, subgroups: true, timestamps: false, subgroupMatrix: false };
  return { has, report: { vendor } as DeviceReport };
}

test("on Intel's cards what fills the registers has the least lanes, and nothing else without subgroups", () => {
  for (const [min, width] of [
    [8, 16],
    [16, 32],
  ] as const) {
    const hold = holdOf({ ...card("intel"), subgroupSize: { min, max: 32, width } });
    expect(hold("matmul", false)).toBe(min);
    expect(hold("matmul_merge", false)).toBe(undefined);
    expect(hold("matvec", true)).toBe(width);
  }
  for (const width of [32, undefined]) {
    const hold = holdOf({ ...card("amd"), subgroupSize: { min: 32, max: 64, width } });
    expect(hold("matmul", false)).toBe(undefined);
  }
  const unproven = holdOf({ ...card("intel"), subgroupSize: { min: 8, max: 32, width: undefined } });
  expect(unproven("matmul", false)).toBe(undefined);
});

test("every kernel that fills the registers compiles with the least lanes", async () => {
  const gpu = await openGpu({ backend: "null" });
  const report = { ...gpu.report, vendor: "intel" };
  const intel = { ...gpu, report, subgroupSize: { min: 8, max: 32, width: 16 } };
  const codes: string[] = [];
  const create = gpu.device.createShaderModule.bind(gpu.device);
  gpu.device.createShaderModule = (asked) => (codes.push(asked.code), create(asked));
  const cache = ["steps/sequence", "kv_cache", "kv_bind/f32", "kv_read/f32", "attention_plain"];
  const heads = { HEADS: 4, KV_HEADS: 2, D: 64 };
  const tiled = ["step", "tiles/64", "epilogue/plain", "epilogue/each"];
  const shape = { K: 256, N: 64, FIRST: 0, ROWS: 64 };
  const delta = { C: 1024, KEY_HEADS: 2, VALUE_HEADS: 4, RUN: 2, DK: 128, DV: 128, STATE: 17_408, QUADS: 4 };
  for (const [name, parts, constants] of [
    ["attention_tile", cache, { ...heads, SLOT_PAGES: 4, ROWS: 32, KEYS: 64 }],
    ["delta_scan", ["steps/sequence", "delta_rows"], delta],
    ["matmul", ["rows/eight", "reads/whole", "rows/whole", "weights/bf16", "rows/within", ...tiled], shape],
    [
      "matmul_bytes",
      ["rows/eight", "reads/planes", "rows/planes", "scales/half", "weights/q8_0", ...tiled],
      shape,
    ],
    ["vision_attention", ["step"], { HEADS: 2, D: 64, FIRST: 0 }],
  ] as const)
    await kernelsOf(intel).pipeline({ name, parts, constants });
  expect(codes).toHaveLength(5);
  for (const code of codes) expect(code).toContain("@subgroup_size(8u) @compute");
  gpu.destroy();
});

test("kernels that are held to a width are others than those that are not", async () => {
  const gpu = await openGpu({ backend: "null" });
  const held = { ...gpu, subgroupSize: { min: 8, max: 32, width: 16 } };
  const codes: string[] = [];
  const create = gpu.device.createShaderModule.bind(gpu.device);
  gpu.device.createShaderModule = (asked) => (codes.push(asked.code), create(asked));
  const request = { name: "probe_subgroups", parts: [], constants: { LANES: 64, WIDTH: 16 } };
  for (const one of [gpu, held, { ...held }, gpu]) await kernelsOf(one).pipeline(request);
  expect(codes.map((code) => code.includes("@subgroup_size(16u)"))).toEqual([false, true]);
  gpu.destroy();
});

/** The null backend as a device that computes, whose every answer is 0. */
async function silent() {
  const gpu = await openGpu({ backend: "null" });
  const report = { ...gpu.report, name: "a card", backend: "vulkan" };
  return { ...gpu, report, subgroupSize: { min: 8, max: 32, width: 16 } };
}

test("a device whose lanes are not where they should be is not relied on, and the log says so", async () => {
  const gpu = await silent();
  const lines: string[] = [];
  const subgroups = await provenSubgroups(gpu, (line) => lines.push(line));
  expect(subgroups).toEqual({ min: 8, max: 32, width: undefined });
  expect(lines).toEqual(["a card: subgroups of 16 lanes fail when they are tried; its kernels do without"]);
  gpu.destroy();
});

test("nor one whose driver refuses the width", async () => {
  const gpu = await silent();
  gpu.device.createComputePipelineAsync = () => Promise.reject(new Error("no such width"));
  const subgroups = await provenSubgroups(gpu, () => undefined);
  expect(subgroups.width).toBe(undefined);
  gpu.destroy();
});

/** What a tuning file keeps, and each attempt that it heard of. */
function file(deadly: string[] = []) {
  const attempts: (readonly string[])[] = [];
  return {
    attempts,
    deadly: () => new Set(deadly),
    attempt: (of: readonly string[]) => void attempts.push(of),
  };
}

test("what is tried is noted while it is tried", async () => {
  const gpu = await silent();
  const noted = file();
  await provenSubgroups(
    gpu,
    () => undefined,
    () => noted,
  );
  expect(noted.attempts).toEqual([["subgroups of 16"], []]);
  const fixed = file();
  await provenSubgroups(
    { ...gpu, subgroupSize: { min: 16, max: 16, width: 16 } },
    () => undefined,
    () => fixed,
  );
  expect(fixed.attempts, "all kernels of a device with one width have it").toEqual([]);
  gpu.destroy();
});

test("what a device did not survive stays noted, and is not tried again", async () => {
  const gpu = await silent();
  gpu.device.createBuffer = () => {
    throw new Error("the device is gone");
  };
  const noted = file();
  expect(
    (
      await provenSubgroups(
        gpu,
        () => undefined,
        () => noted,
      )
    ).width,
  ).toBe(undefined);
  expect(noted.attempts).toEqual([["subgroups of 16"]]);
  const known = file(["subgroups of 16"]);
  const made = nothingCompiled(gpu.device);
  expect(
    (
      await provenSubgroups(
        gpu,
        () => undefined,
        () => known,
      )
    ).width,
  ).toBe(undefined);
  expect([known.attempts, made()]).toEqual([[], 0]);
  gpu.destroy();
});

function nothingCompiled(device: GPUDevice): () => number {
  let made = 0;
  device.createShaderModule = () => {
    made += 1;
    throw new Error("nothing is compiled");
  };
  return () => made;
}
