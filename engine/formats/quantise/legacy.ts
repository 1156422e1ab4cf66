// The types with blocks of 32 (Q4_0 … Q8_0): one pass, with the roundings of the reference, so that files agree to
// the byte with those of other tools. Every step is an f32: Math.fround where the formula has an operation.
import { numberToF16 } from "../halves.ts";
import type { Block } from "../blocks/format.ts";

const { abs, fround } = Math;
const values = 32;

/** Q4_0, Q5_0: value = d · (code − zero); the largest magnitude becomes code 0, whatever its sign. */
export function quantiseCentred(x: Float32Array, first: number, block: Block, zero: 8 | 16): void {
  let largest = 0;
  for (let i = first; i < first + values; i++) if (abs(x[i]!) > abs(largest)) largest = x[i]!;
  const d = fround(largest / -zero);
  const inverse = d === 0 ? 0 : fround(1 / d);
  const half = zero + 0.5;
  const most = 2 * zero - 1;
  for (let i = 0; i < values; i++) {
    const code = fround(fround(x[first + i]! * inverse) + half) | 0;
    block.codes[i] = code < most ? code : most;
  }
  block.d = numberToF16(d);
}

/** Q4_1, Q5_1: value = d · code + min. */
export function quantiseRanged(x: Float32Array, first: number, block: Block, most: 15 | 31): void {
  let min = Infinity;
  let max = -Infinity;
  for (let i = first; i < first + values; i++) {
    if (x[i]! < min) min = x[i]!;
    if (x[i]! > max) max = x[i]!;
  }
  const d = fround(fround(max - min) / most);
  const inverse = d === 0 ? 0 : fround(1 / d);
  for (let i = 0; i < values; i++) {
    const code = fround(fround(fround(x[first + i]! - min) * inverse) + 0.5) | 0;
    block.codes[i] = code < most ? code : most;
  }
  block.d = numberToF16(d);
  block.dmin = numberToF16(min);
}

/** Q8_0: value = d · code, code −127 … 127; halves are rounded away from zero. */
export function quantiseBytes(x: Float32Array, first: number, block: Block): void {
  let magnitude = 0;
  for (let i = first; i < first + values; i++) if (abs(x[i]!) > magnitude) magnitude = abs(x[i]!);
  const d = fround(magnitude / 127);
  const inverse = d === 0 ? 0 : fround(1 / d);
  for (let i = 0; i < values; i++) {
    const steps = fround(x[first + i]! * inverse);
    block.signedCodes[i] = steps < 0 ? -((0.5 - steps) | 0) : (steps + 0.5) | 0;
  }
  block.d = numberToF16(d);
}
