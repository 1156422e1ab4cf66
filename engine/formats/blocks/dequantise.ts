// Blocks → f32, the formula as it stands. Every product of d, a scale and a code is exact in f32 (at most 11 + 7 + 5
// bits), so one rounding remains, that of the sum: the values agree to the bit with every correct implementation.
import { f16ToNumber } from "../halves.ts";
import { blockFormats, emptyBlock, readBlock, type BlockType } from "./format.ts";

/** Whole blocks → their values. Throws a plain Error for bytes that are not whole blocks. */
export function dequantise(type: BlockType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const format = blockFormats[type];
  const count = bytes.byteLength / format.bytes;
  if (!Number.isInteger(count)) throw new Error(`${bytes.byteLength} bytes are not whole ${type} blocks`);
  const out = new Float32Array(count * format.values);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const block = emptyBlock();
  for (let b = 0; b < count; b++) {
    readBlock(format, view, b * format.bytes, block);
    blockValues(type, block, out.subarray(b * format.values, (b + 1) * format.values));
  }
  return out;
}

type Parts = Parameters<typeof readBlock>[3];

/** The values of one block taken apart. */
function blockValues(type: BlockType, block: Readonly<Parts>, out: Float32Array): void {
  const { values, group, zero, signed, min, scales } = blockFormats[type];
  const codes = signed ? block.signedCodes : block.codes;
  const d = f16ToNumber(block.d);
  const dmin = min ? min.sign * f16ToNumber(block.dmin) : 0;
  for (let i = 0; i < values; i++) {
    const g = Math.floor(i / group);
    const scale = scales ? d * block.scales[g]! : d;
    const minimum = !min ? -0 : scales ? dmin * block.mins[g]! : dmin; // x + −0 is x, and −0 where x is
    out[i] = scale * (codes[i]! - zero) + minimum;
  }
}
