// What a device's thread works with. Tests put another machine in its place, whose device computes nothing and whose
// models weigh nothing, and try a thousand lives of it in seconds.
import { openConverter, type Converter } from "../formats/quantise/pool.ts";
import { openGpu, type AdapterChoice, type Gpu } from "../gpu/adapter.ts";
import { Owed } from "../gpu/owed.ts";
import type { TuningOptions } from "../gpu/tuning.ts";
import { realBuilding, type Building } from "./building.ts";

export interface Machine {
  /** Errors: no_adapter. */
  open(choice: AdapterChoice, tuning: TuningOptions): Promise<OpenMachine>;
  /** `hear` is told of exceptions that nobody catches. */
  onCrash(hear: (error: Error) => void): void;
  /** Throws an exception that nobody catches. */
  crash(error: Error): void;
  /** Ends this thread at once: what waits to go on in it does not. */
  end(): void;
  converter(): Converter;
  building: Building;
}

export interface OpenMachine {
  gpu: Gpu;
  /** From now on nothing is asked of the device; resolves when it owes nothing any more. */
  settled(): Promise<void>;
}

export const realMachine: Machine = {
  async open(choice, tuning) {
    const gpu = await openGpu(choice, undefined, tuning);
    const owed = new Owed();
    return { gpu, settled: () => owed.settled() };
  },
  onCrash(hear) {
    process.on("uncaughtException", hear);
  },
  crash(error) {
    setImmediate(() => {
      throw error;
    });
  },
  end() {
    process.exit();
  },
  converter: openConverter,
  building: realBuilding,
};
