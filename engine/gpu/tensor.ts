// A tensor is a shape, an element format and a storage: a GPU buffer, or, while a plan is being recorded,
// the promise of one. A weight is a matrix in the checkpoint's own format, split by rows where one buffer
// may not be bound whole.
import { AsyncLocalStorage } from "node:async_hooks";
import { EngineError } from "../errors.ts";
import type { Gpu } from "./adapter.ts";

export type Format = "f32" | "u32";

/** Where elements live. Scratch storage gets its buffer when its plan is finished. */
export interface Storage {
  readonly label: string;
  readonly bytes: number;
  buffer: GPUBuffer | undefined;
}

/** Row-major, innermost axis last, no padding. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly format: Format;
  readonly storage: Storage;
}

/**
 * Rows of texels of 16 bytes that live from their first to their last use in a plan, for a device that reads textures
 * faster than buffers. It gets its texture when its plan is finished.
 */
export interface Sheet {
  readonly label: string;
  /** Texels of a row, and rows. */
  readonly size: readonly [number, number];
  texture: GPUTexture | undefined;
}

/** How a weight's rows are stored: floats, or GGUF's block types repacked into planes (formats/blocks/planes.ts). */
export type WeightFormat = FloatFormat | BlockFormat;
export type FloatFormat = "f32" | "f16" | "bf16";
export type BlockFormat =
  ("q4_0" | "q4_1" | "q5_0" | "q5_1" | "q8_0") | ("q2_k" | "q3_k" | "q4_k" | "q5_k" | "q6_k");

/** Rows firstRow … firstRow + rows of a weight, packed: two 16-bit values to a u32, low half first; or planes. */
export interface Shard {
  readonly firstRow: number;
  readonly rows: number;
  readonly format: WeightFormat;
  /** Rows one behind another, or tiles of them (tiles.ts). */
  readonly place: GPUBuffer | GPUTexture;
}

/** Whether a shard is in tiles. */
export function inTiles({ place }: Shard): boolean {
  return isTexture(place);
}

export function isTexture(place: GPUBuffer | GPUTexture): place is GPUTexture {
  return "createView" in place;
}

/** W [N, K] of a linear map y = x · Wᵀ (or an embedding table [vocabulary, C]). */
export interface Weight {
  readonly shape: readonly [number, number];
  readonly shards: readonly Shard[];
}

/** How many values make how many bytes; rows of planes are then padded to 16 bytes. */
const packed: Readonly<Record<WeightFormat, readonly [values: number, bytes: number]>> = {
  ...{ f32: [1, 4], f16: [1, 2], bf16: [1, 2] },
  ...{ q4_0: [32, 18], q4_1: [32, 20], q5_0: [32, 22], q5_1: [32, 24], q8_0: [32, 34] },
  ...{ q2_k: [256, 84], q3_k: [256, 114], q4_k: [256, 148], q5_k: [256, 180], q6_k: [256, 210] },
};

export const weightFormats = Object.keys(packed) as readonly WeightFormat[];

export function isBlockFormat(format: WeightFormat): format is BlockFormat {
  return packed[format][0] > 1;
}

/** Bytes of a row of K values. Throws where K is not whole blocks. */
export function weightRowBytes(format: WeightFormat, K: number): number {
  const [values, bytes] = packed[format];
  if (K % values !== 0) throw new Error(`rows of ${K} are not whole ${format} blocks of ${values}`);
  const row = (K / values) * bytes;
  return isBlockFormat(format) ? Math.ceil(row / 16) * 16 : row;
}

/** Bytes of what lies at one index of the outermost axis. */
export function rowBytes({ shape, storage }: Tensor): number {
  return storage.bytes / shape[0]!;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The sizes of a tensor of known rank; a wrong rank is a bug of the caller. */
export function dims(tensor: { readonly shape: readonly number[] }, rank: 1): [number];
export function dims(tensor: { readonly shape: readonly number[] }, rank: 2): [number, number];
export function dims(tensor: { readonly shape: readonly number[] }, rank: 3): [number, number, number];
export function dims(
  tensor: { readonly shape: readonly number[] },
  rank: 4,
): [number, number, number, number];
export function dims(tensor: { readonly shape: readonly number[] }, rank: number): number[] {
  if (tensor.shape.length !== rank)
    throw new Error(`expected rank ${rank}, got shape [${tensor.shape.join(", ")}]`);
  return [...tensor.shape];
}

export function expectShape(tensor: { readonly shape: readonly number[] }, shape: readonly number[]): void {
  const same = tensor.shape.length === shape.length && shape.every((size, i) => size === tensor.shape[i]);
  if (!same) throw new Error(`expected shape [${shape.join(", ")}], got [${tensor.shape.join(", ")}]`);
}

/** A tensor that stays on the device until `free`: small weights, tables, caches. Zero-filled without data. */
export function permanent(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  data?: Float32Array | Uint32Array,
  format: Format = data instanceof Uint32Array ? "u32" : "f32",
): Tensor {
  const bytes = elements(shape) * 4;
  if (data && data.byteLength !== bytes) {
    throw new Error(`${label}: ${data.length} values for shape [${shape.join(", ")}]`);
  }
  const buffer = createBuffer(gpu, label, bytes);
  if (data) gpu.device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return { shape: [...shape], format, storage: { label, bytes, buffer } };
}

interface Allocations {
  readonly made: Set<GPUBuffer | GPUTexture>;
  /** Why nothing more may be made. */
  over: Error | undefined;
}

const allocations = new AsyncLocalStorage<Allocations>();

/**
 * Runs `make`, which creates buffers and textures. If it throws, or the device had no room (Dawn tells that to an error scope, not
 * where it happens), all that it made is destroyed, and what still runs of it can make no more. One at a time on
 * a device: error scopes are a stack.
 * Errors: what `make` throws; out_of_memory.
 */
export async function allocating<T>(gpu: Gpu, make: () => Promise<T>): Promise<T> {
  const held: Allocations = { made: new Set(), over: undefined };
  gpu.device.pushErrorScope("out-of-memory");
  const outcome = await allocations.run(held, make).then(
    (value) => ({ value }),
    (error: Error) => ({ error }),
  );
  const scope = await gpu.device.popErrorScope();
  if ("value" in outcome && !scope) return outcome.value;
  for (const each of held.made) each.destroy();
  held.over = scope
    ? new EngineError("out_of_memory", `${gpu.report.name} is out of memory: ${scope.message}`)
    : (outcome as { error: Error }).error;
  throw held.over;
}

/** Storage (or, where a kernel is short of storage bindings, uniform) which can be copied from and to. */
const storage = () =>
  GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

export function createBuffer(gpu: Gpu, label: string, bytes: number, usage = storage()): GPUBuffer {
  const size = Math.max(16, Math.ceil(bytes / 16) * 16);
  return allocated(gpu.device.createBuffer({ label, size, usage }));
}

/** Throws where `allocating` has failed; else has it remember what to destroy if it fails. */
export function allocated<T extends GPUBuffer | GPUTexture>(made: T): T {
  const within = allocations.getStore();
  if (within?.over) {
    made.destroy();
    throw within.over;
  }
  within?.made.add(made);
  return made;
}

export function free(...tensors: readonly (Tensor | Weight)[]): void {
  for (const tensor of tensors) {
    if ("shards" in tensor) for (const shard of tensor.shards) shard.place.destroy();
    else tensor.storage.buffer?.destroy();
  }
}
