// The shape of a gated delta net layer, and what a sequence carries through it from step to step.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { bufferOf, readBytes } from "../gpu/readback.ts";
import { dims, permanent, type Tensor } from "../gpu/tensor.ts";

/** Nk key heads of width Dk, Nv value heads of width Dv (Nv a multiple of Nk), a convolution of four taps. */
export interface DeltaConfig {
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly conv: number;
  /** Which key head value head h reads: ⌊h / (Nv/Nk)⌋ (grouped, the default), or h mod Nk (tiled). */
  readonly order?: "grouped" | "tiled";
}

/** What one layer carries for the sequence of each slot. */
export interface DeltaState {
  /**
   * [slots, …]: first the window [4, C] of columns before the convolution, a ring: position p (counted from the sequence's
   * start) lies in row p mod 4, and the three latest matter. Then S [Nv, Dk, Dv].
   */
  readonly memory: Tensor;
  /** [snapshots, …]: states put aside, as they lie in `memory`; absent where there is room for none. */
  readonly saved?: Tensor;
  /** C */
  readonly channels: number;
}

/** Widths of the packed projection u: q|k|v (`channels`, C) | z (`values`, Nv·Dv) | b (Nv) | a (Nv). */
export interface DeltaWidths {
  readonly channels: number;
  readonly values: number;
  readonly row: number;
}

/** How many neighbouring value heads share a key head; the key head of h is ⌊h / run⌋ mod Nk. */
export function headRun({ keyHeads, valueHeads, order }: DeltaConfig): number {
  return order === "tiled" ? 1 : valueHeads / keyHeads;
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

/** Cleared states for `slots` sequences, the start of each, and room to save some. */
export function createDeltaState(gpu: Gpu, config: DeltaConfig, slots = 1, snapshots = 0): DeltaState {
  const size = deltaStateBytes(config) / 4;
  const memory = permanent(gpu, "delta", [slots, size]);
  const { channels } = deltaWidths(config);
  return snapshots === 0
    ? { memory, channels }
    : { memory, saved: permanent(gpu, "saved delta", [snapshots, size]), channels };
}

/** A slot back to the start of a sequence, in some layers; ordered with the queue's other work. */
export function resetDeltaState(gpu: Gpu, slot: number, ...states: readonly DeltaState[]): void {
  const encoder = gpu.device.createCommandEncoder({ label: "reset delta state" });
  for (const { memory } of states) {
    const bytes = slotBytes(memory);
    encoder.clearBuffer(bufferOf(memory), slot * bytes, bytes);
  }
  gpu.device.queue.submit([encoder.finish()]);
}

/** A slot's state on the host: the ring of columns [4, C], position p in row p mod 4, and S [Nv, Dk, Dv]. */
export async function readDeltaState(
  gpu: Gpu,
  { memory, channels }: DeltaState,
  slot = 0,
): Promise<{ ring: Float32Array; S: Float32Array }> {
  const bytes = slotBytes(memory);
  const values = new Float32Array(await readBytes(gpu, bufferOf(memory), bytes, slot * bytes));
  return { ring: values.subarray(0, 4 * channels), S: values.subarray(4 * channels) };
}

function slotBytes(memory: Tensor): number {
  return 4 * dims(memory, 2)[1];
}

/** Bytes of one state on the device. */
export function deltaStateBytes(config: DeltaConfig): number {
  const { valueHeads, keyDim, valueDim } = config;
  return 4 * (4 * deltaWidths(config).channels + valueHeads * keyDim * valueDim);
}
