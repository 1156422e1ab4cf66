// How codes of a few bits are packed into bytes. Value v of a field lies in chunk v / n, where a chunk is `stride`
// bytes with n = stride · 8 / bits values:
//   byte  at + chunk · stride + v mod stride      shift  bits · ((v mod n) / stride)
// so a byte's low bits hold one value and its next bits the value `stride` further on. Every block of the GGUF types
// is made of such fields, and so are our planes, whose stride is 4: one masked word holds 4 neighbouring values.
//
// Codes are handled four at a time, as quads: word g holds values 4g … 4g + 3, a byte each, the first lowest.

export interface Field {
  /** Byte of the block at which it begins. */
  readonly at: number;
  readonly bits: 1 | 2 | 4 | 8;
  /** Bytes: 1 or a multiple of 4. */
  readonly stride: number;
}

/** Bytes that `values` codes fill. */
export function fieldBytes({ bits }: Field, values: number): number {
  return (values * bits) / 8;
}

/** Ors `count` quads of the field into `quads` (from index 0), each code shifted left by `shift`. */
export function readField(
  view: DataView,
  base: number,
  field: Field,
  quads: Uint32Array,
  count: number,
  shift: number,
): void {
  if (field.stride === 1) return readNibbles(view, base + field.at, quads, count, shift);
  const { bits, stride } = field;
  const mask = masks[bits];
  let at = base + field.at;
  for (let g = 0; g < count; at += stride) {
    for (let s = 0; s < 8; s += bits) {
      for (let w = 0; w < stride; w += 4) {
        quads[g]! |= ((view.getUint32(at + w, true) >>> s) & mask) << shift;
        g += 1;
      }
    }
  }
}

/** The inverse: bits shift … shift + field.bits of each code. */
export function writeField(
  view: DataView,
  base: number,
  field: Field,
  quads: Uint32Array,
  count: number,
  shift: number,
): void {
  if (field.stride === 1) return writeNibbles(view, base + field.at, quads, count, shift);
  const { bits, stride } = field;
  const mask = masks[bits];
  const step = stride / 4;
  let at = base + field.at;
  for (let first = 0; first < count; first += step * (8 / bits), at += stride) {
    for (let w = 0; w < step; w++) {
      let word = 0;
      for (let s = 0, g = first + w; s < 8; s += bits, g += step) {
        word |= ((quads[g]! >>> shift) & mask) << s;
      }
      view.setUint32(at + 4 * w, word, true);
    }
  }
}

const masks = { 1: 0x0101_0101, 2: 0x0303_0303, 4: 0x0f0f_0f0f, 8: 0xffff_ffff } as const;

/** Single bits in order, 8 to a byte: four neighbours spread to the bytes of a quad. */
function readNibbles(view: DataView, at: number, quads: Uint32Array, count: number, shift: number): void {
  for (let g = 0; g < count; g++) {
    const nibble = (view.getUint8(at + (g >> 1)) >> (4 * (g & 1))) & 15;
    quads[g]! |= ((nibble * 0x20_4081) & masks[1]) << shift; // bit i to byte i: 1 + 2^7 + 2^14 + 2^21
  }
}

function writeNibbles(view: DataView, at: number, quads: Uint32Array, count: number, shift: number): void {
  for (let g = 0; g < count; g += 2) {
    view.setUint8(at + (g >> 1), gathered(quads[g]!, shift) | (gathered(quads[g + 1]!, shift) << 4));
  }
}

function gathered(quad: number, shift: number): number {
  const bits = (quad >>> shift) & masks[1];
  return (bits | (bits >>> 7) | (bits >>> 14) | (bits >>> 21)) & 15;
}
