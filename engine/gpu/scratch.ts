// Where scratch lies while a plan runs: one buffer or texture serves several of it whose lives do not overlap.
import type { Gpu } from "./adapter.ts";
import { allocated, createBuffer, type Sheet, type Storage } from "./tensor.ts";

export type Scratch = Storage | Sheet;

/** Of all dispatches, the first and the last that use it; never used: −1. */
export interface Life {
  first: number;
  last: number;
}

export type Place = GPUBuffer | GPUTexture;

interface Slot {
  readonly place: Place;
  readonly bytes: number;
  until: number;
}

export const texelBytes = 16;

export function isSheet(scratch: object): scratch is Sheet {
  return "texture" in scratch;
}

/** Whether the device has textures for sheets of so many texels and rows. */
export function fitsSheet({ limits }: Gpu, texels: number, rows: number): boolean {
  return Math.max(texels, rows) <= limits.maxTextureDimension2D;
}

export function placeBytes(place: Place): number {
  return "createView" in place ? texelBytes * place.width * place.height : place.size;
}

/** Gives everything that is used its buffer or texture; → all that were made. */
export function allocateScratch(gpu: Gpu, lives: ReadonlyMap<Scratch, Life>): Place[] {
  const slots: Slot[] = [];
  const byFirst = [...lives].filter(([, { last }]) => last >= 0).sort(([, a], [, b]) => a.first - b.first);
  for (const [scratch, { first, last }] of byFirst) {
    const begun = Math.min(first, last);
    const free = slots.filter(({ until, place }) => until < begun && fits(place, scratch));
    let slot = free.sort((a, b) => a.bytes - b.bytes)[0];
    // One that is more than twice too large is better kept for what needs it.
    if (!slot || slot.bytes > 2 * bytesOf(scratch) + 4096) slots.push((slot = makeSlot(gpu, scratch)));
    slot.until = last;
    if (isSheet(scratch)) scratch.texture = slot.place as GPUTexture;
    else scratch.buffer = slot.place as GPUBuffer;
  }
  return slots.map(({ place }) => place);
}

function fits(place: Place, scratch: Scratch): boolean {
  if ("createView" in place)
    return isSheet(scratch) && place.width >= scratch.size[0] && place.height >= scratch.size[1];
  return !isSheet(scratch) && place.size >= scratch.bytes;
}

function bytesOf(scratch: Scratch): number {
  return isSheet(scratch) ? texelBytes * scratch.size[0] * scratch.size[1] : scratch.bytes;
}

function makeSlot(gpu: Gpu, scratch: Scratch): Slot {
  const { label } = scratch;
  if (!isSheet(scratch)) {
    const buffer = createBuffer(gpu, label, scratch.bytes);
    return { place: buffer, bytes: placeBytes(buffer), until: -1 };
  }
  const [size, usage] = [[...scratch.size], GPUTextureUsage.STORAGE_BINDING];
  const place = allocated(gpu.device.createTexture({ label, size, format: "rgba32uint", usage }));
  return { place, bytes: placeBytes(place), until: -1 };
}
