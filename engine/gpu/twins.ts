// Cards of one name. Dawn takes the first adapter whose name fits, so of twins it opens that which the drivers list first;
// Mesa's device-selection layer puts the card first that DRI_PRIME names by its place on the PCI bus, whoever's driver
// has it. It is read when an instance is made, so it is set before each.
import { existsSync } from "node:fs";
import type { PciGpu } from "./host.ts";
import type { AdapterEntry } from "./list.ts";

const layerFolders = ["/usr/share", "/usr/local/share", "/etc"];
const layerFile = "vulkan/implicit_layer.d/VkLayer_MESA_device_select.json";

/** Whether the Vulkan loader has the layer. */
export function canSelect(root = ""): boolean {
  return layerFolders.some((folder) => existsSync(`${root}${folder}/${layerFile}`));
}

/** The twins among them with the cards that they are, where the bus has as many of one model; others as they were. */
export function withCards(entries: readonly AdapterEntry[], gpus: readonly PciGpu[]): AdapterEntry[] {
  const named = entries.map((entry) => ({ ...entry }));
  for (const name of new Set(named.map((entry) => entry.name))) {
    const twins = named.filter((entry) => entry.name === name && entry.backend === "vulkan");
    const cards = twins.length > 1 ? cardsLike(name, twins.length, gpus) : [];
    for (const [i, address] of cards.entries()) twins[i]!.card = address;
  }
  return named;
}

/** Addresses of so many cards of one model and of the vendor that the name tells; none where that is not clear. */
function cardsLike(name: string, count: number, gpus: readonly PciGpu[]): string[] {
  const vendor = vendorIn(name);
  const models = new Map<string, string[]>();
  for (const { address, model, vendor: own } of gpus)
    if (own === vendor) models.set(model, [...(models.get(model) ?? []), address]);
  const fitting = [...models.values()].filter((addresses) => addresses.length === count);
  return fitting.length === 1 ? fitting[0]!.sort() : [];
}

function vendorIn(name: string): string | undefined {
  if (/nvidia|geforce|quadro|tesla/i.test(name)) return "nvidia";
  if (/amd|radeon|instinct/i.test(name)) return "amd";
  return /intel|arc\b/i.test(name) ? "intel" : undefined;
}

/** 0000:03:00.0 → what DRI_PRIME calls it. */
export function primeOf(address: string): string {
  return `pci-${address.replace(/[:.]/g, "_")}`;
}

const users = process.env["DRI_PRIME"];

/** Puts a card first; undefined: what the user has said. Main thread only, as for drivers. */
export function selectCard(address: string | undefined): void {
  const value = address === undefined ? users : primeOf(address);
  if (value === undefined) Reflect.deleteProperty(process.env, "DRI_PRIME");
  else process.env["DRI_PRIME"] = value;
}
