import { expect, test } from "vitest";
import { order, parseAdapterList } from "./list.ts";
import type { AdapterEntry } from "./list.ts";
import { choose } from "./select.ts";

const message = `no suitable backends found
Available adapters:
 * backend: 'vulkan', name: 'SwiftShader Device (Subzero)'
 * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'
 * backend: 'vulkan', name: 'NVIDIA GeForce RTX 4070'
 * backend: 'vulkan', name: 'AMD Radeon RX 7900 XT (RADV NAVI31)'`;

const host = order(parseAdapterList(message));

test("Dawn's list is read, hardware first and SwiftShader last", () => {
  expect(host.map((e) => `${e.kind} ${e.backend} ${e.name}`)).toEqual([
    "hardware vulkan NVIDIA GeForce RTX 4070",
    "hardware vulkan AMD Radeon RX 7900 XT (RADV NAVI31)",
    "software vulkan llvmpipe (LLVM 15.0.6, 256 bits)",
    "software vulkan SwiftShader Device (Subzero)",
  ]);
});

test.each([
  [{}, 0],
  [{ device: 1 }, 1],
  [{ device: 4 }, undefined],
  [{ adapter: "radeon" }, 1],
  [{ adapter: "LavaPipe" }, 2],
  [{ adapter: "llvmpipe" }, 2],
  [{ adapter: "swiftshader" }, 3],
  [{ adapter: "intel" }, undefined],
  [{ adapter: "nvidia", device: 0 }, 0],
])("%j chooses %s", (options, want) => {
  expect(choose(host, options)).toBe(want);
});

test("a driver's name will do", () => {
  const described = host.map((e, i) => ({ ...e, driver: i === 1 ? "radv: Mesa 25.2.1" : "" }));
  expect(choose(described, { adapter: "mesa 25" })).toBe(1);
});

test("two options that contradict each other are refused", () => {
  expect(() => choose(host, { adapter: "nvidia", device: 1 })).toThrow(/device 1 is AMD.*, not nvidia/);
});

test.each([
  ["a twin", ["NVIDIA H200", "NVIDIA H200"], 1],
  ["a name within an earlier one", ["RTX 4070 Ti", "RTX 4070"], 1],
])("%s cannot be opened through Dawn, and is refused rather than mistaken", (_, names, device) => {
  const entries = names.map((name): AdapterEntry => ({ name, backend: "vulkan", kind: "hardware" }));
  expect(() => choose(entries, { device })).toThrow(/cannot be told from device 0/);
  expect(choose(entries, { device: 0 })).toBe(0);
});
