// What a model file and the ops behind it write on, and whom they meet on the way.
import type { Gpu } from "./adapter.ts";
import type { Relay } from "./handovers.ts";
import type { Format, Sheet, Tensor } from "./tensor.ts";

/** A number that may depend on how many tokens the run carries. */
export type Extent = number | ((tokens: number) => number);

export interface DispatchOptions {
  parts?: readonly string[];
  constants?: Readonly<Record<string, number>>;
  /** Workgroups in x, y, z; each ≤ 65,535. */
  groups: readonly [Extent, Extent?, Extent?];
  /** Arithmetic of the dispatch, for cutting long prefills into submits that no driver's watchdog minds. */
  flops?: Extent;
  /** What it gives depends on weights alone: it is not part of runs, but done whenever weights have been written. */
  once?: true;
}

export type Binding = Tensor | Sheet | GPUBuffer | GPUTexture;

/** What ops write on. */
export interface Pass {
  readonly gpu: Gpu;
  /** The most tokens a run may carry. */
  readonly capacity: number;
  /** Whether a run's tokens are of as many sequences (gpu/step.ts), or of one, one behind another. */
  readonly batch: boolean;
  /** How many tokens this run has, whose, and behind how many (gpu/step.ts). */
  readonly step: Tensor;
  /** A tensor that lives from its first to its last use in the plan. */
  scratch(shape: readonly number[], label?: string, format?: Format): Tensor;
  /** The same in rows of texels, where the device has textures so wide and high (`fitsSheet`). */
  sheet(texels: number, rows: number, label: string): Sheet;
  /** Notes one dispatch; binding i is bindings[i], holes are left out. */
  dispatch(kernel: string, bindings: readonly (Binding | undefined)[], options: DispatchOptions): void;
  /** This device's number among those that share the model; 0 where it is alone. */
  readonly rank: number;
  /** A device's part of a sum → the sum over the devices that share the model, in place; alone, the part is all. */
  sum(part: Tensor): Tensor;
  /** x, as computed here → device `to`, which has the layers that follow. */
  send(x: Tensor, to: number): void;
  /** x ← as device `from` has sent it, in place. */
  receive(x: Tensor, from: number): Tensor;
  /** Names a tensor so that its value outlives the run (verification); nothing unless the pass keeps. */
  keep(name: string, tensor: Tensor): Tensor;
}

/** The devices that share a model, as one of them meets the others (parallel/allReduce.ts), slice by slice. */
export interface Exchange {
  readonly rank: number;
  /** Most values of a slice. */
  readonly slice: number;
  readonly times: SumTimes;
  /** This device's part of a slice, at most one ahead of what was taken; the values are read before it returns. */
  give(values: Float32Array): void;
  /** out ← the parts of the next slice that was given, added up over the devices. */
  take(out: Float32Array): Promise<void>;
  /** What each device gives, by rank, bit for bit. `lengths`: of each one's, which all know. Nothing else is under way. */
  gather(own: Uint32Array, lengths: readonly number[]): Promise<Uint32Array<ArrayBuffer>[]>;
}

/** Sums over devices so far, and where their time went, ms. */
export interface SumTimes {
  sums: number;
  /** From handing the work before a sum to the device until its first slice is on the host. */
  computingMs: number;
  /** Reading it there, and waiting for the device's further slices. */
  readbackMs: number;
  /** For other devices. */
  waitingMs: number;
  /** Adding up, and handing the sum to the device. */
  reducingMs: number;
}

/** The other devices of a model, as one of them meets them: one or the other, or none. */
export interface Peers {
  /** Where every layer is spread over several devices. */
  exchange?: Exchange | undefined;
  /** Where other devices have other layers. */
  relay?: Relay | undefined;
}
