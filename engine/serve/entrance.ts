// Where tokens enter a plan: their ids, positions and the pictures among them, in small buffers that are written
// ahead of each run. A run may be any piece of what is fed.
import type { Gpu } from "../gpu/adapter.ts";
import { bufferOf } from "../gpu/readback.ts";
import { createStep, stepValues, type Place } from "../gpu/step.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import { mropePositions, type ImageSpan } from "../models/mrope.ts";
import type { Inputs } from "../models/network.ts";
import { asDrawn } from "../ops/embed.ts";
import { Mirror } from "./mirror.ts";

/** The buffers that a forward pass for up to `capacity` tokens reads. */
export interface Entrance {
  readonly capacity: number;
  /** Each token of a run is of a sequence of its own. */
  readonly batch: boolean;
  readonly step: Tensor;
  readonly inputs: Inputs;
  /** Where a run moves its tokens on by itself. */
  readonly moving: Moving | undefined;
}

/** How far, and what the last run left in the buffers. */
interface Moving {
  readonly rows: number;
  readonly mirror: Mirror;
}

/** A picture among the tokens: `embedding`, [rows · columns, H], takes their place. */
export interface FedPicture extends ImageSpan {
  embedding: Tensor | HostRows;
}

/** Rows that another device computed. */
export interface HostRows {
  readonly shape: readonly [rows: number, width: number];
  readonly values: Float32Array<ArrayBuffer>;
}

/** One token of one of the sequences of a batch. */
export interface BatchToken extends Place {
  /** undefined: the one that was drawn last in the slot. */
  id: number | undefined;
  /** On all three axes. */
  position: number;
}

/** Tokens to append to a sequence. */
export interface Feed {
  ids: readonly number[];
  /** [3, ids.length] */
  positions: Uint32Array<ArrayBuffer>;
  pictures: readonly FedPicture[];
  /** By how much the position after them differs from their number; 0 without pictures. */
  delta: number;
}

/** `start`: the position of the first token. */
export function createFeed(ids: readonly number[], pictures: readonly FedPicture[], start: number): Feed {
  return { ids, pictures, ...mropePositions(ids.length, pictures, start) };
}

export interface EntranceOptions {
  capacity: number;
  /** Inputs.ropeTable */
  rope: Tensor;
  /** H, where the tokens may have pictures among them. */
  pictureWidth?: number | undefined;
  /** Default: false. */
  batch?: boolean;
  /** Rows of a sequence at most, where the runs' embedding moves tokens on (ops/embed.ts); default: it does not. */
  moving?: number | undefined;
}

export function createEntrance(
  gpu: Gpu,
  { capacity, rope, pictureWidth, batch = false, moving: rows }: EntranceOptions,
): Entrance {
  const whole = (label: string, ...shape: number[]) => permanent(gpu, label, shape, undefined, "u32");
  const inputs: Inputs = {
    ids: whole("ids", capacity),
    positions: whole("positions", 3, capacity),
    ropeTable: rope,
    ...(pictureWidth === undefined
      ? {}
      : {
          pictures: {
            rows: permanent(gpu, "picture rows", [capacity, pictureWidth]),
            chosen: whole("picture tokens", capacity),
          },
        }),
  };
  const moving = rows === undefined ? undefined : { rows, mirror: new Mirror(capacity) };
  return { capacity, batch, step: createStep(gpu, batch), inputs, moving };
}

export function freeEntrance({ step, inputs }: Entrance): void {
  const { rows, chosen } = inputs.pictures ?? {};
  free(step, inputs.ids, inputs.positions, ...(rows && chosen ? [rows, chosen] : []));
}

/** Writes tokens from … from + count − 1 of the feed, for a run behind `past` tokens of the sequence in `slot`. */
export function writeInputs(
  gpu: Gpu,
  { capacity, step, inputs }: Entrance,
  feed: Feed,
  { from, count, past, slot = 0 }: { from: number; count: number; past: number; slot?: number },
): void {
  const { queue } = gpu.device;
  const T = feed.ids.length;
  queue.writeBuffer(bufferOf(step), 0, stepValues({ tokens: count, past, slot }));
  queue.writeBuffer(bufferOf(inputs.ids), 0, Uint32Array.from(feed.ids.slice(from, from + count)));
  for (let axis = 0; axis < 3; axis += 1) {
    const positions = feed.positions.subarray(axis * T + from, axis * T + from + count);
    queue.writeBuffer(bufferOf(inputs.positions), axis * capacity * 4, positions);
  }
  if (inputs.pictures) placePictures(gpu, inputs.pictures, feed.pictures, from, count);
  else if (feed.pictures.length > 0) throw new Error("pictures for a plan that takes none");
}

/**
 * Writes a token of each of several sequences, of which a plan of one token takes one; nothing where the last run leaves
 * just that behind.
 */
export function writeBatch(gpu: Gpu, entrance: Entrance, tokens: readonly BatchToken[]): void {
  const { capacity, inputs, moving } = entrance;
  const found = moving?.mirror.precedes(tokens) ?? false;
  forgetRun(entrance);
  if (found) return;
  const { queue } = gpu.device;
  writePlaces(gpu, entrance, tokens);
  queue.writeBuffer(
    bufferOf(inputs.ids),
    0,
    Uint32Array.from(tokens, ({ id }) => id ?? asDrawn),
  );
  const positions = Uint32Array.from(tokens, ({ position }) => position - ahead(entrance));
  for (let axis = 0; axis < 3; axis += 1)
    queue.writeBuffer(bufferOf(inputs.positions), axis * capacity * 4, positions);
}

/** Says that what was written last has been run, once. */
export function noteRun({ moving }: Entrance, tokens: readonly BatchToken[]): void {
  moving?.mirror.note(tokens);
}

/** Says that nobody knows what the last run left. */
export function forgetRun({ moving }: Entrance): void {
  moving?.mirror.forget();
}

/** Writes whose the tokens of a batch are. */
export function writePlaces(gpu: Gpu, entrance: Entrance, places: readonly Place[]): void {
  const { batch, step, moving } = entrance;
  const [{ row, slot }] = places as [Place];
  const [back, rows] = [ahead(entrance), moving?.rows ?? 0];
  const each = () => places.map((place) => ({ ...place, row: place.row - back }));
  const run = batch ? { each: each(), rows } : { tokens: 1, past: row - back, slot, rows };
  gpu.device.queue.writeBuffer(bufferOf(step), 0, stepValues(run));
}

/** By how much a run moves its tokens on before it reads where they are. Of a first row that is 2³² − 1. */
function ahead({ moving }: Entrance): 0 | 1 {
  return moving ? 1 : 0;
}

/** Copies the rows of the pictures' tokens beside the run's tokens, and marks those. */
function placePictures(
  gpu: Gpu,
  { rows, chosen }: NonNullable<Inputs["pictures"]>,
  pictures: readonly FedPicture[],
  from: number,
  count: number,
): void {
  const marks = new Uint32Array(count);
  const encoder = gpu.device.createCommandEncoder();
  for (const { at, embedding } of pictures) {
    const [tokens, width] = embedding.shape as [number, number];
    const [first, last] = [Math.max(at, from), Math.min(at + tokens, from + count)];
    if (first >= last) continue;
    marks.fill(1, first - from, last - from);
    const bytes = 4 * width;
    const [source, target] = [(first - at) * bytes, (first - from) * bytes];
    if ("values" in embedding) {
      const values = embedding.values.subarray((first - at) * width, (last - at) * width);
      gpu.device.queue.writeBuffer(bufferOf(rows), target, values);
      continue;
    }
    encoder.copyBufferToBuffer(bufferOf(embedding), source, bufferOf(rows), target, (last - first) * bytes);
  }
  gpu.device.queue.writeBuffer(bufferOf(chosen), 0, marks);
  gpu.device.queue.submit([encoder.finish()]);
}
