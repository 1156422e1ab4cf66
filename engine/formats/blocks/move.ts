// Codes from a block's field to a plane's, word by word and without taking the block apart: readField and writeField in
// one, for the strides that blocks have. A word of a plane (stride 4) gathers neighbours that lie in different words of
// the block, at the same shift.
import type { Field } from "./field.ts";

/** Moves `values` codes of the field (in the block at `base`) to the plane words that begin at byte `out`. */
export function moveField(
  from: DataView,
  base: number,
  { at, bits, stride }: Field,
  to: DataView,
  out: number,
  values: number,
): void {
  const source = base + at;
  if (bits === 8) moveBytes(from, source, to, out, values);
  else if (bits === 4) moveNibbles(from, source, stride, to, out, values);
  else if (bits === 2) movePairs(from, source, stride, to, out, values);
  else if (stride === 1) moveOrderedBits(from, source, to, out, values);
  else moveBits(from, source, stride, to, out, values);
}

function moveBytes(from: DataView, at: number, to: DataView, out: number, values: number): void {
  for (let i = 0; i < values; i += 4) to.setUint32(out + i, from.getUint32(at + i, true), true);
}

/** Eight codes a word: two words of the block, their low nibbles and then their high ones. */
function moveNibbles(
  from: DataView,
  at: number,
  stride: number,
  to: DataView,
  out: number,
  values: number,
): void {
  const high = stride / 2; // bytes of the plane between what is low and what is high
  for (let left = values; left > 0; left -= 2 * stride, at += stride, out += stride) {
    for (let i = 0; i < stride; i += 8) {
      const a = from.getUint32(at + i, true);
      const b = from.getUint32(at + i + 4, true);
      to.setUint32(out + i / 2, (a & 0x0f0f_0f0f) | ((b & 0x0f0f_0f0f) << 4), true);
      to.setUint32(out + high + i / 2, ((a >>> 4) & 0x0f0f_0f0f) | (b & 0xf0f0_f0f0), true);
    }
  }
}

/** Sixteen codes a word: four words of the block, at each of four shifts. */
function movePairs(
  from: DataView,
  at: number,
  stride: number,
  to: DataView,
  out: number,
  values: number,
): void {
  const next = stride / 4;
  for (let left = values; left > 0; left -= 4 * stride, at += stride, out += stride) {
    for (let i = 0; i < stride; i += 16) {
      const a = from.getUint32(at + i, true);
      const b = from.getUint32(at + i + 4, true);
      const c = from.getUint32(at + i + 8, true);
      const d = from.getUint32(at + i + 12, true);
      for (let s = 0, to4 = out + i / 4; s < 8; s += 2, to4 += next) {
        const word =
          ((a >>> s) & 0x0303_0303) |
          (((b >>> s) & 0x0303_0303) << 2) |
          (((c >>> s) & 0x0303_0303) << 4) |
          (((d >>> s) & 0x0303_0303) << 6);
        to.setUint32(to4, word, true);
      }
    }
  }
}

/** 32 codes a word: eight words of the block, at each of eight shifts. */
function moveBits(
  from: DataView,
  at: number,
  stride: number,
  to: DataView,
  out: number,
  values: number,
): void {
  const next = stride / 8;
  for (let left = values; left > 0; left -= 8 * stride, at += stride, out += stride) {
    for (let i = 0; i < stride; i += 32) {
      for (let s = 0; s < 8; s++) {
        let word = 0;
        for (let w = 0; w < 8; w++) word |= ((from.getUint32(at + i + 4 * w, true) >>> s) & 0x0101_0101) << w;
        to.setUint32(out + s * next + i / 8, word, true);
      }
    }
  }
}

/** Bits in the order of their values: each four of them spread to the bytes of the word, at their own shift. */
function moveOrderedBits(from: DataView, at: number, to: DataView, out: number, values: number): void {
  for (let i = 0; i < values; i += 32, at += 4, out += 4) {
    const ordered = from.getUint32(at, true);
    let word = 0;
    for (let s = 0; s < 8; s++) word |= ((((ordered >>> (4 * s)) & 15) * 0x20_4081) & 0x0101_0101) << s;
    to.setUint32(out, word, true);
  }
}
