import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { DeviceReport } from "../engine/index.ts";
import { doctor, formatDevices, formatDoctor, listDevices } from "./doctor.ts";
import type { DoctorReport } from "./doctor.ts";

const card: DeviceReport = {
  index: 0,
  name: "NVIDIA H200",
  vendor: "nvidia",
  driver: "NVIDIA: 570.86",
  kind: "hardware",
  backend: "vulkan",
  memoryTotalMb: 143_771,
  features: ["shader-f16", "subgroups"],
  limits: {
    maxBufferSize: 2 ** 32 - 1,
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxComputeWorkgroupStorageSize: 49152,
  },
  wgslFeatures: ["immediate_address_space"],
  subgroups: { min: 32, max: 32, width: 32 },
  subgroupMatrixConfigs: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 24 }],
};

const arc: DeviceReport = {
  ...card,
  index: 1,
  name: "Intel Arc",
  driver: "Intel: 25.2",
  memoryTotalMb: undefined,
  features: [],
  subgroups: { min: 8, max: 32, width: 16 },
  subgroupMatrixConfigs: [],
};

const broken = {
  index: 2,
  name: "Old card",
  error: { code: "no_adapter", message: "it has gone", details: {} },
} as const;

const report: DoctorReport = {
  versions: { neuron: "1.2.3", node: "v22.0.0", dawn: "0.6.2" },
  host: {
    machine: "linux-x64",
    loader: "system",
    driverFiles: ["/etc/vulkan/icd.d/nvidia_icd.json"],
    driversSetTo: undefined,
    gpus: [{ address: "0000:01:00.0", vendor: "nvidia", model: "0x2335", driver: "nvidia" }],
    renderNodes: [{ path: "/dev/dri/renderD128", accessible: false }],
    swiftshader: { version: "9", folder: "/cache/swiftshader-9", unpacked: false },
  },
  devices: [card, arc, broken],
  chosen: { index: 0, name: "NVIDIA H200" },
  advice: [{ level: "problem", text: "something is missing", remedy: "do this" }],
};

test("formatDoctor says everything of the report", () => {
  const text = stripVTControlCharacters(formatDoctor(report));
  for (const part of [
    "neuron 1.2.3 · Node v22.0.0 · Dawn (npm webgpu 0.6.2) · linux-x64",
    "neuron would use: device 0, NVIDIA H200",
    "device 1: Intel Arc",
    "hardware, vulkan, vendor nvidia",
    "NVIDIA: 570.86",
    "140.4 GiB",
    "unknown",
    "16×8×24 f16→f32",
    "8 to 32, held to 16",
    "4 GiB, bound 2 GiB",
    "48 KiB shared",
    "shader-f16 subgroups",
    "immediate_address_space",
    "it has gone",
    "nvidia at 0000:01:00.0 (driver nvidia)",
    "/dev/dri/renderD128 (no permission)",
    "9, not yet in /cache/swiftshader-9",
    "problem: something is missing",
    "do this",
  ])
    expect(text).toContain(part);
});

test("formatDoctor without devices gives the reason and no advice", () => {
  const error = { code: "no_adapter", message: "no GPU found", details: {} } as const;
  const text = formatDoctor({ ...report, devices: [], chosen: { error }, advice: [] });
  expect(text).toContain("neuron would use: no GPU found");
  expect(text).toContain("nothing is missing");
});

test("formatDevices is a table", () => {
  const twin = { ...arc, card: "0000:65:00.0" };
  expect(stripVTControlCharacters(formatDevices([card, twin, broken])).split("\n")).toEqual([
    "device  kind      name         memory     subgroups            f16  matrices  opened by                   driver",
    "0       hardware  NVIDIA H200  140.4 GiB  32                   yes  1         name                        NVIDIA: 570.86",
    "1       hardware  Intel Arc    unknown    8 to 32, held to 16  no   no        DRI_PRIME=pci-0000_65_00_0  Intel: 25.2",
    "2       broken    Old card     -          -                    -    -         -                           it has gone",
    "",
  ]);
  expect(formatDevices([])).toContain("neuron doctor");
});

test("the doctor examines this host, and its report survives JSON", async () => {
  const found = await doctor();
  expect(JSON.parse(JSON.stringify(found))).toMatchObject({ chosen: found.chosen, advice: found.advice });
  expect(found.versions.dawn).toMatch(/^\d+\.\d+\.\d+$/);
  expect(found.devices.map((d) => d.index)).toEqual(found.devices.map((_, i) => i));
  if (found.devices.length > 0)
    expect(found.chosen).toMatchObject({ index: 0, name: found.devices[0]!.name });
  expect((await listDevices()).map((d) => d.name)).toEqual(found.devices.map((d) => d.name));
});

test("an adapter that is not here is said to be missing, not thrown", async () => {
  const { chosen } = await doctor({ adapter: "no such card" });
  expect(chosen).toMatchObject({
    error: { code: "no_adapter", message: expect.stringContaining('"no such card"') },
  });
});
