// Rows of the checkpoint's matrices on their way to a weight.
import type { WeightDtype } from "../formats/checkpoint.ts";
import { storedRowBytes } from "../formats/quantise/convert.ts";
import type { Section } from "../gpu/weight.ts";
import { formatOf } from "./quantRule.ts";

/** Rows of a tensor of the checkpoint: all that it must have, or, where its whole shape is given, those from `first` on. */
export interface Rows {
  readonly name: string;
  readonly rows: number;
  readonly first?: number;
  readonly shape?: readonly number[];
}

/** A part of a matrix, as it is stored and as it will be kept. */
export interface Part extends Required<Rows> {
  readonly from: WeightDtype;
  readonly to: WeightDtype;
}

/** Where in its tensor a part begins, bytes. */
export function placeOf({ first, from }: Part, K: number): number {
  return first * storedRowBytes(from, K);
}

/** Neighbours of one format are one section, unless they are to stay apart. */
export function sectionsOf(parts: readonly Part[], apart = false): Section[] {
  const sections: Section[] = [];
  for (const { rows, to } of parts) {
    const last = apart ? undefined : sections.at(-1);
    const format = formatOf(to);
    if (last?.format === format) sections[sections.length - 1] = { rows: last.rows + rows, format };
    else sections.push({ rows, format });
  }
  return sections;
}

export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Rows of the first and of the second by turns. */
export function alternating(first: Uint8Array, second: Uint8Array, rowBytes: number): Uint8Array {
  const both = new Uint8Array(2 * first.length);
  for (let at = 0; at < first.length; at += rowBytes) {
    both.set(first.subarray(at, at + rowBytes), 2 * at);
    both.set(second.subarray(at, at + rowBytes), 2 * at + rowBytes);
  }
  return both;
}
