// What the operating system knows of this host and its GPU's memory. WebGPU tells nothing of memory, so the figures
// come from nvidia-smi or from Linux's sysfs; read in the background, so that status routes never wait.

import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DeviceReport } from "../engine/serve/types.ts";

/** MiB, percent and °C; null where nobody knows. */
export interface HostMemory {
  index: number;
  totalMb: number | null;
  usedMb: number | null;
  freeMb: number | null;
  utilizationPct: number | null;
  temperatureC: number | null;
}

const run = promisify(execFile);
const MiB = 2 ** 20;

/** Keeps the figures fresh; `current` answers at once with the last ones. */
export function watchMemory(device: DeviceReport, everyMs = 5000) {
  let figures: HostMemory = { ...unknown(device.index), totalMb: device.memoryTotalMb ?? null };
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function refresh(): Promise<void> {
    figures = (await readMemory(device)) ?? figures;
    if (stopped) return;
    timer = setTimeout(() => void refresh(), everyMs);
    timer.unref();
  }

  const first = refresh();
  return {
    /** Resolves when the first reading is done. */
    first,
    current: (): HostMemory => figures,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function unknown(index: number): HostMemory {
  return { index, totalMb: null, usedMb: null, freeMb: null, utilizationPct: null, temperatureC: null };
}

async function readMemory(device: DeviceReport): Promise<HostMemory | undefined> {
  if (device.kind === "software") return hostMemory(device.index);
  if (/nvidia/i.test(device.vendor)) return nvidiaMemory(device);
  if (/amd|advanced micro|radeon/i.test(`${device.vendor} ${device.name}`)) return amdMemory(device);
  return undefined;
}

/** A software adapter computes in the host's own memory. */
function hostMemory(index: number): HostMemory {
  const [total, free] = [Math.round(totalmem() / MiB), Math.round(freemem() / MiB)];
  return { ...unknown(index), totalMb: total, usedMb: total - free, freeMb: free };
}

async function nvidiaMemory(device: DeviceReport): Promise<HostMemory | undefined> {
  const fields = "index,name,memory.total,memory.used,memory.free,utilization.gpu,temperature.gpu";
  try {
    const args = [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"];
    const { stdout } = await run("nvidia-smi", args, { timeout: 4000 });
    return parseNvidia(stdout, device);
  } catch {
    return undefined;
  }
}

/** The row of this device: the n-th of its name, else the only one of its name. */
export function parseNvidia(csv: string, device: DeviceReport): HostMemory | undefined {
  const rows = csv
    .trim()
    .split("\n")
    .map((line) => line.split(",").map((field) => field.trim()));
  const named = rows.filter(([, name]) => name !== undefined && name !== "" && device.name.includes(name));
  const row =
    named.find(([index]) => Number(index) === device.index) ?? (named.length === 1 ? named[0] : undefined);
  if (!row) return undefined;
  const [totalMb, usedMb, freeMb, utilizationPct, temperatureC] = row.slice(2).map(numberOrNull);
  return {
    index: device.index,
    totalMb: totalMb ?? null,
    usedMb: usedMb ?? null,
    freeMb: freeMb ?? null,
    utilizationPct: utilizationPct ?? null,
    temperatureC: temperatureC ?? null,
  };
}

/** nvidia-smi writes "[N/A]" for what a card does not tell. */
function numberOrNull(field: string): number | null {
  const value = Number(field);
  return field === "" || Number.isNaN(value) ? null : value;
}

/** amdgpu's files; with several cards nobody can say which is ours, so nothing is said. */
export async function amdMemory(
  device: DeviceReport,
  root = "/sys/class/drm",
): Promise<HostMemory | undefined> {
  try {
    const cards = (await readdir(root)).filter((name) => /^card\d+$/.test(name));
    const read = async (card: string, file: string) =>
      Number(await readFile(join(root, card, "device", file), "utf8").catch(() => "NaN"));
    const totals = await Promise.all(
      cards.map(async (card) => ({ card, total: await read(card, "mem_info_vram_total") })),
    );
    const amd = totals.filter(({ total }) => total > 0);
    if (amd.length !== 1) return undefined;
    const { card, total } = amd[0]!;
    const [used, busy] = [await read(card, "mem_info_vram_used"), await read(card, "gpu_busy_percent")];
    const totalMb = Math.round(total / MiB);
    const usedMb = Math.round(used / MiB);
    const utilizationPct = Number.isNaN(busy) ? null : busy;
    return { ...unknown(device.index), totalMb, usedMb, freeMb: totalMb - usedMb, utilizationPct };
  } catch {
    return undefined;
  }
}
