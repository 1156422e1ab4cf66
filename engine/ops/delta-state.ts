// The shape of a gated delta net layer, and what a sequence carries through it from step to step.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { bufferOf } from "../gpu/readback.ts";
import { permanent, type Tensor } from "../gpu/tensor.ts";

/** Nk key heads of width Dk, Nv value heads of width Dv (Nv a multiple of Nk), a convolution of four taps. */
export interface DeltaConfig {
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly conv: number;
}

/** The memory of one layer for one sequence. */
export interface DeltaState {
  /**
   * [4, C] columns before the convolution, a ring: position p (counted from the sequence's start, as
   * `step.past` counts) lies in row p mod 4; the three latest matter.
   */
  readonly window: Tensor;
  /** [Nv, Dk, Dv] */
  readonly S: Tensor;
}

/** Widths of the packed projection u: q|k|v (`channels`, C) | z (`values`, Nv·Dv) | b (Nv) | a (Nv). */
export interface DeltaWidths {
  readonly channels: number;
  readonly values: number;
  readonly row: number;
}

/** Throws unsupported_model where the kernels do not reach. */
export function deltaWidths(config: DeltaConfig): DeltaWidths {
  const { keyHeads, valueHeads, keyDim, valueDim, conv } = config;
  const wrong = (what: string): never => {
    throw new EngineError("unsupported_model", `gated delta net: ${what}`);
  };
  if (conv !== 4) wrong(`convolution of ${conv} taps; only 4 are supported`);
  if (valueHeads % keyHeads !== 0)
    wrong(`${valueHeads} value heads are not a multiple of ${keyHeads} key heads`);
  if (valueHeads % 2 !== 0) wrong(`${valueHeads} value heads; an even number is supported`);
  for (const width of [keyDim, valueDim]) {
    if (width % 4 !== 0 || width < 4 || width > 256)
      wrong(`head width ${width}; multiples of 4 up to 256 are supported`);
  }
  const values = valueHeads * valueDim;
  const channels = 2 * keyHeads * keyDim + values;
  return { channels, values, row: channels + values + 2 * valueHeads };
}

/** A cleared state: the start of a sequence. */
export function createDeltaState(gpu: Gpu, config: DeltaConfig, label = "delta"): DeltaState {
  const { valueHeads, keyDim, valueDim } = config;
  return {
    window: permanent(gpu, `${label}.window`, [4, deltaWidths(config).channels]),
    S: permanent(gpu, `${label}.S`, [valueHeads, keyDim, valueDim]),
  };
}

/** Back to the start of a sequence; ordered with the queue's other work. */
export function resetDeltaState(gpu: Gpu, ...states: readonly DeltaState[]): void {
  const encoder = gpu.device.createCommandEncoder({ label: "reset delta state" });
  for (const { window, S } of states) {
    encoder.clearBuffer(bufferOf(window));
    encoder.clearBuffer(bufferOf(S));
  }
  gpu.device.queue.submit([encoder.finish()]);
}

/** Bytes of one state on the device. */
export function deltaStateBytes(config: DeltaConfig): number {
  const { valueHeads, keyDim, valueDim } = config;
  return 4 * (4 * deltaWidths(config).channels + valueHeads * keyDim * valueDim);
}
