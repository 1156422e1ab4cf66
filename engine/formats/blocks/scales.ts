// The small integers of a 256-value block: one scale per group of values, and with some types one minimum.
import type { Block } from "./format.ts";

export interface ScaleCodec {
  /** Bytes a group has in our planes: the scale, and the minimum unless it shares that byte. */
  readonly plane: "byte" | "nibbles" | "pair";
  read(view: DataView, base: number, into: Pick<Block, "scales" | "mins">): void;
  write(view: DataView, base: number, from: Pick<Block, "scales" | "mins">): void;
}

/** Q2_K: 16 bytes, each a scale in its low and a minimum in its high nibble. */
export function minimumNibbles(at: number): ScaleCodec {
  return {
    plane: "nibbles",
    read(view, base, { scales, mins }) {
      for (let g = 0; g < 16; g++) {
        const byte = view.getUint8(base + at + g);
        scales[g] = byte & 15;
        mins[g] = byte >> 4;
      }
    },
    write(view, base, { scales, mins }) {
      for (let g = 0; g < 16; g++) view.setUint8(base + at + g, (scales[g]! & 15) | (mins[g]! << 4));
    },
  };
}

/** Q6_K: 16 signed bytes. */
export function scaleBytes(at: number): ScaleCodec {
  return {
    plane: "byte",
    read(view, base, { scales }) {
      for (let g = 0; g < 16; g++) scales[g] = view.getInt8(base + at + g);
    },
    write(view, base, { scales }) {
      for (let g = 0; g < 16; g++) view.setInt8(base + at + g, scales[g]!);
    },
  };
}

/**
 * Q3_K: 16 scales of 6 bits, stored plus 32, in 12 bytes. Low nibbles: those of groups 0 … 7 below those of 8 … 15.
 * Then two bits each: byte 8 + g mod 4, shift 2 · (g / 4).
 */
export function sixBitSigned(at: number): ScaleCodec {
  return {
    plane: "byte",
    read(view, base, { scales }) {
      for (let g = 0; g < 16; g++) {
        const nibble = (view.getUint8(base + at + (g & 7)) >> (g < 8 ? 0 : 4)) & 15;
        const top = (view.getUint8(base + at + 8 + (g & 3)) >> (2 * (g >> 2))) & 3;
        scales[g] = (nibble | (top << 4)) - 32;
      }
    },
    write(view, base, { scales }) {
      const code = (g: number) => scales[g]! + 32;
      for (let i = 0; i < 8; i++) view.setUint8(base + at + i, (code(i) & 15) | ((code(i + 8) & 15) << 4));
      for (let i = 0; i < 4; i++) {
        const tops = [0, 4, 8, 12].map((g) => (code(g + i) >> 4) << (g / 2));
        view.setUint8(
          base + at + 8 + i,
          tops.reduce((byte, bits) => byte | bits),
        );
      }
    },
  };
}

/**
 * Q4_K and Q5_K: 8 scales and 8 minima of 6 bits in 12 bytes. The first four of each are the low bits of bytes 0 … 3
 * and 4 … 7; of the last four, bytes 8 … 11 hold the low nibbles (scale below minimum), and the top two bits of
 * bytes 0 … 3 and 4 … 7 the rest.
 */
export function sixBitPairs(at: number): ScaleCodec {
  return {
    plane: "pair",
    read(view, base, { scales, mins }) {
      for (let g = 0; g < 4; g++) {
        const s = view.getUint8(base + at + g);
        const m = view.getUint8(base + at + 4 + g);
        const rest = view.getUint8(base + at + 8 + g);
        scales[g] = s & 63;
        mins[g] = m & 63;
        scales[g + 4] = (rest & 15) | ((s >> 6) << 4);
        mins[g + 4] = (rest >> 4) | ((m >> 6) << 4);
      }
    },
    write(view, base, { scales, mins }) {
      for (let g = 0; g < 4; g++) {
        const [s, m] = [scales[g + 4]!, mins[g + 4]!];
        view.setUint8(base + at + g, scales[g]! | ((s >> 4) << 6));
        view.setUint8(base + at + 4 + g, mins[g]! | ((m >> 4) << 6));
        view.setUint8(base + at + 8 + g, (s & 15) | ((m & 15) << 4));
      }
    },
  };
}
