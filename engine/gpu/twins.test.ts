import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { PciGpu } from "./host.ts";
import type { AdapterEntry } from "./list.ts";
import { choose } from "./select.ts";
import { canSelect, primeOf, selectCard, withCards } from "./twins.ts";

const entry = (name: string, backend = "vulkan"): AdapterEntry => ({ name, backend, kind: "hardware" });
const gpu = (address: string, vendor: string, model: string): PciGpu => ({
  ...{ address, vendor, model, driver: undefined },
});
const [h200, radeon] = ["NVIDIA H200", "AMD Radeon RX 7900 XT (RADV NAVI31)"];
const bus = [
  gpu("0000:41:00.0", "nvidia", "0x2335"),
  gpu("0000:03:00.0", "nvidia", "0x2335"),
  gpu("0000:06:00.0", "amd", "0x744c"),
  gpu("0000:08:00.0", "nvidia", "0x1b80"),
];

test("each twin is a card of the bus, in the order of their addresses", () => {
  const entries = withCards([entry(h200), entry(radeon), entry(h200)], bus);
  expect(entries.map(({ card }) => card)).toEqual(["0000:03:00.0", undefined, "0000:41:00.0"]);
  expect(entries.map((_, device) => choose(entries, { device }))).toEqual([0, 1, 2]);
});

test.each<[string, AdapterEntry[], PciGpu[]]>([
  ["more adapters than cards", [entry(h200), entry(h200), entry(h200)], bus],
  [
    "two models of as many cards",
    [entry(h200), entry(h200)],
    [...bus, gpu("0000:09:00.0", "nvidia", "0x1b80")],
  ],
  ["a bus that is not to be seen", [entry(h200), entry(h200)], []],
  ["a vendor that the name does not tell", [entry("Card"), entry("Card")], bus],
  ["another backend", [entry(h200, "d3d12"), entry(h200, "d3d12")], bus],
])("%s: they cannot be told apart", (_, entries, gpus) => {
  const named = withCards(entries, gpus);
  expect(named.map(({ card }) => card)).toEqual(entries.map(() => undefined));
  expect(() => choose(named, { device: 1 })).toThrow(/cannot be told from device 0/);
});

test("the variable names a card, and is the user's again", () => {
  const before = process.env["DRI_PRIME"];
  selectCard("0000:41:00.0");
  expect(process.env["DRI_PRIME"]).toBe("pci-0000_41_00_0");
  selectCard(undefined);
  expect(process.env["DRI_PRIME"]).toBe(before);
  expect(primeOf("0000:03:00.1")).toBe("pci-0000_03_00_1");
});

test("the layer is looked for where the loader does", () => {
  const root = mkdtempSync(join(tmpdir(), "layers-"));
  expect(canSelect(root)).toBe(false);
  const folder = join(root, "usr/share/vulkan/implicit_layer.d");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "VkLayer_MESA_device_select.json"), "{}");
  expect(canSelect(root)).toBe(true);
});
