// Drawing where a device has all logits of a row, or none.
import type { Gpu } from "../../gpu/adapter.ts";
import { bufferOf, readRanges, type Range } from "../../gpu/readback.ts";
import {
  readRecord,
  recordRange,
  writeDrawStart,
  writeMask,
  type DrawMemory,
  type DrawStart,
} from "../../ops/sample.ts";
import type { Outputs } from "../plans.ts";
import type { Outcome, Want } from "../runner.ts";
import { candidatesOf, placed, submitDraws, type Drawing, type PlacedRow, type Ran } from "./drawing.ts";

export class WholeDrawing implements Drawing {
  readonly #gpu: Gpu;
  readonly #memory: DrawMemory;

  constructor(gpu: Gpu, memory: DrawMemory) {
    this.#gpu = gpu;
    this.#memory = memory;
  }

  start(slot: number, start: DrawStart): void {
    writeDrawStart(this.#gpu, this.#memory, slot, start);
  }

  /** The device counts them itself. */
  drew(): void {}

  async outcomes(runs: readonly Ran[]): Promise<Outcome[]> {
    const rows = placed(runs);
    this.#mask(rows);
    const ranges = rows.flatMap(({ outputs, at, want }) => rangeOf(outputs, at, want));
    const read = await readRanges(this.#gpu, ranges, (last) => submitDraws(this.#gpu, runs, last));
    return rows.map(({ want, outputs }) => {
      if (want === "nothing" || !outputs) return undefined;
      return outcomeOf(outputs, want, read.shift()!);
    });
  }

  /** Finds out, while the device computes, what may be drawn. */
  #mask(rows: readonly PlacedRow[]): void {
    for (const { slot, want } of rows) {
      const allowed = typeof want === "object" ? want.mask?.() : undefined;
      if (allowed) writeMask(this.#gpu, this.#memory, slot, allowed);
    }
  }
}

function rangeOf(outputs: Outputs | undefined, row: number, want: Want): Range[] {
  if (want === "nothing" || !outputs) return [];
  const { logits, records } = outputs;
  if (want !== "logits") return [recordRange(records, row, candidatesOf(want))];
  const bytes = 4 * logits.shape[1]!;
  return [{ source: bufferOf(logits), offset: bytes * row, bytes }];
}

function outcomeOf({ logits }: Outputs, want: Want, bytes: ArrayBuffer): Outcome {
  if (want === "logits") return new Float32Array(bytes);
  return readRecord(bytes, logits.shape[1]!, candidatesOf(want));
}
