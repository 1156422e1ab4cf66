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
