// The memory of this neuron's device. Asking the operating system takes its time, so it is done in the background:
// status routes answer with the last figures.

import { deviceMemory } from "../engine/index.ts";
import type { DeviceReport } from "../engine/serve/types.ts";

/** MiB; null where nobody on the host knows. */
export interface MemoryFigures {
  totalMb: number | null;
  usedMb: number | null;
  freeMb: number | null;
}

/** The devices, without those that are another by name only. */
export function distinct(devices: readonly DeviceReport[]): DeviceReport[] {
  return [...new Map(devices.map((device) => [device.index, device])).values()];
}

/** Of several devices. Null where that of one is not known. */
export function sumOfFigures(all: readonly MemoryFigures[]): MemoryFigures {
  const sum = (figure: keyof MemoryFigures) =>
    all.reduce<number | null>((total, one) => {
      const value = one[figure];
      return total === null || value === null ? null : total + value;
    }, 0);
  return { totalMb: sum("totalMb"), usedMb: sum("usedMb"), freeMb: sum("freeMb") };
}

export interface MemoryWatch {
  /** Resolves when the first reading is done. */
  first: Promise<void>;
  current(): MemoryFigures;
  stop(): void;
}

export function watchMemory(
  device: DeviceReport,
  read: typeof deviceMemory = deviceMemory,
  everyMs = 5000,
): MemoryWatch {
  let figures: MemoryFigures = { totalMb: device.memoryTotalMb ?? null, usedMb: null, freeMb: null };
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function refresh(): Promise<void> {
    // What fails once may answer next time; until then the last figures stand.
    const found = await read(device).catch(() => undefined);
    if (found) {
      const totalMb = device.memoryTotalMb ?? found.totalMb;
      figures = { totalMb, usedMb: found.usedMb, freeMb: Math.max(0, totalMb - found.usedMb) };
    }
    if (!stopped) timer = setTimeout(() => void refresh(), everyMs).unref();
  }

  return {
    first: refresh(),
    current: () => figures,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
