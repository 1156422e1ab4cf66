// WebGPU does not tell how much memory a device has; the operating system does, for some.
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** MiB. */
export interface DeviceMemory {
  totalMb: number;
  usedMb: number;
}

/** Memory of the device of that name; undefined where the operating system does not tell which device is meant. */
export async function deviceMemory(device: {
  name: string;
  vendor: string;
  kind: "hardware" | "software";
}): Promise<DeviceMemory | undefined> {
  if (device.kind === "software") return hostMemory();
  if (device.vendor === "nvidia") return parseNvidiaSmi(await nvidiaSmi(), device.name);
  if (device.vendor === "amd") return amdMemory("/sys/class/drm");
  return undefined;
}

/** The host's, or what a container may use of it. */
export function hostMemory(): DeviceMemory {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { totalMb: toMb(total), usedMb: toMb(Math.max(0, total - process.availableMemory())) };
}

/** Reads lines `name, total, used` of nvidia-smi. Two cards of one name: the one with less memory free. */
export function parseNvidiaSmi(text: string, name: string): DeviceMemory | undefined {
  const cards = text
    .split("\n")
    .map((line) => line.split(",").map((cell) => cell.trim()))
    .map(([card, total, used]) => ({ card, totalMb: Number(total), usedMb: Number(used) }))
    .filter((c) => c.card === name && Number.isFinite(c.totalMb) && Number.isFinite(c.usedMb));
  cards.sort((a, b) => a.totalMb - a.usedMb - (b.totalMb - b.usedMb));
  const [tightest] = cards;
  return tightest && { totalMb: tightest.totalMb, usedMb: tightest.usedMb };
}

/** Video memory of the AMD card; undefined where there are several, because sysfs does not know Vulkan's names. */
export async function amdMemory(drm: string): Promise<DeviceMemory | undefined> {
  const cards = (await readdir(drm).catch(() => [])).filter((name) => /^card\d+$/.test(name));
  const read = async (card: string, file: string) =>
    Number(await readFile(join(drm, card, "device", file), "utf8").catch(() => "0"));
  const all = await Promise.all(
    cards.map(async (card) => ({
      totalMb: toMb(await read(card, "mem_info_vram_total")),
      usedMb: toMb(await read(card, "mem_info_vram_used")),
    })),
  );
  const amd = all.filter((m) => m.totalMb > 0);
  return amd.length === 1 ? amd[0] : undefined;
}

async function nvidiaSmi(): Promise<string> {
  const query = ["--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"];
  try {
    return (await promisify(execFile)("nvidia-smi", query, { timeout: 5000 })).stdout;
  } catch {
    return ""; // not installed, or it cannot reach the driver
  }
}

function toMb(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}
