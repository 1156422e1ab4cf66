// The block types of GGUF: 32 or 256 neighbouring values of a row as small codes with shared scales.
//   value[i] = d · scale[g] · (code[i] − zero) + min      g = i / group
//   min = ± dmin · minimum[g]     (plus with the _1 types, minus with the _K types; the others have none)
// d and dmin are f16; scale and minimum are small integers, 1 where a type has none. Each type is one row of the table
// below; taking a block apart and putting it together again is the same code for all of them.
import { readField, writeField, type Field } from "./field.ts";
import { minimumNibbles, scaleBytes, sixBitPairs, sixBitSigned, type ScaleCodec } from "./scales.ts";

export const blockTypes = [
  ...(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"] as const),
  ...(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"] as const),
] as const;

export type BlockType = (typeof blockTypes)[number];

export interface BlockFormat {
  readonly type: BlockType;
  /** Values of a block. */
  readonly values: 32 | 256;
  readonly bytes: number;
  /** Values that share a scale. */
  readonly group: 16 | 32;
  /** The codes' low bits, and the bits above them where those lie elsewhere. */
  readonly codes: readonly [low: Field, high?: Field];
  /** Bits of a code. */
  readonly bits: number;
  /** The code of 0. */
  readonly zero: number;
  /** Codes are two's complement bytes. */
  readonly signed: boolean;
  /** Byte of d. */
  readonly d: number;
  /** Byte of dmin, and the sign with which it counts. */
  readonly min: { readonly at: number; readonly sign: 1 | -1 } | undefined;
  readonly scales: ScaleCodec | undefined;
}

/** A block taken apart. The arrays are as long as the longest block needs and are used again for every block. */
export interface Block {
  /** Codes, four to a word. */
  readonly quads: Uint32Array<ArrayBuffer>;
  /** The same codes one by one. */
  readonly codes: Uint8Array<ArrayBuffer>;
  readonly signedCodes: Int8Array<ArrayBuffer>;
  readonly scales: Int8Array<ArrayBuffer>;
  readonly mins: Uint8Array<ArrayBuffer>;
  /** f16 bits. */
  d: number;
  dmin: number;
}

export function emptyBlock(): Block {
  const quads = new Uint32Array(64);
  return {
    quads,
    codes: new Uint8Array(quads.buffer),
    signedCodes: new Int8Array(quads.buffer),
    scales: new Int8Array(16).fill(1),
    mins: new Uint8Array(16).fill(1),
    d: 0,
    dmin: 0,
  };
}

const low = (at: number, bits: 2 | 4 | 8, stride: number): Field => ({ at, bits, stride });
const high = low as (at: number, bits: 1 | 2, stride: number) => Field;
const plus = (at: number) => ({ at, sign: 1 }) as const;
const minus = (at: number) => ({ at, sign: -1 }) as const;
const small = { values: 32, group: 32, signed: false, min: undefined, scales: undefined } as const;
const large = { values: 256, signed: false, min: undefined } as const;

export const blockFormats: Readonly<Record<BlockType, BlockFormat>> = {
  Q4_0: { ...small, type: "Q4_0", bytes: 18, d: 0, codes: [low(2, 4, 16)], bits: 4, zero: 8 },
  Q4_1: { ...small, type: "Q4_1", bytes: 20, d: 0, min: plus(2), codes: [low(4, 4, 16)], bits: 4, zero: 0 },
  Q5_0: { ...small, type: "Q5_0", bytes: 22, d: 0, codes: [low(6, 4, 16), high(2, 1, 1)], bits: 5, zero: 16 },
  Q5_1: {
    ...{ ...small, type: "Q5_1", bytes: 24, d: 0, min: plus(2) },
    ...{ codes: [low(8, 4, 16), high(4, 1, 1)], bits: 5, zero: 0 },
  },
  Q8_0: { ...small, type: "Q8_0", bytes: 34, d: 0, codes: [low(2, 8, 4)], bits: 8, zero: 0, signed: true },
  Q2_K: {
    ...{ ...large, type: "Q2_K", bytes: 84, group: 16, d: 80, min: minus(82) },
    ...{ scales: minimumNibbles(0), codes: [low(16, 2, 32)], bits: 2, zero: 0 },
  },
  Q3_K: {
    ...{ ...large, type: "Q3_K", bytes: 110, group: 16, d: 108 },
    ...{ scales: sixBitSigned(96), codes: [low(32, 2, 32), high(0, 1, 32)], bits: 3, zero: 4 },
  },
  Q4_K: {
    ...{ ...large, type: "Q4_K", bytes: 144, group: 32, d: 0, min: minus(2) },
    ...{ scales: sixBitPairs(4), codes: [low(16, 4, 32)], bits: 4, zero: 0 },
  },
  Q5_K: {
    ...{ ...large, type: "Q5_K", bytes: 176, group: 32, d: 0, min: minus(2) },
    ...{ scales: sixBitPairs(4), codes: [low(48, 4, 32), high(16, 1, 32)], bits: 5, zero: 0 },
  },
  Q6_K: {
    ...{ ...large, type: "Q6_K", bytes: 210, group: 16, d: 208 },
    ...{ scales: scaleBytes(192), codes: [low(0, 4, 64), high(128, 2, 32)], bits: 6, zero: 32 },
  },
};

export function isBlockType(name: string): name is BlockType {
  return Object.hasOwn(blockFormats, name);
}

/** Takes the block at byte `at` apart. */
export function readBlock(format: BlockFormat, view: DataView, at: number, block: Block): void {
  const [lowBits, highBits] = format.codes;
  const count = format.values / 4;
  block.quads.fill(0, 0, count);
  readField(view, at, lowBits, block.quads, count, 0);
  if (highBits) readField(view, at, highBits, block.quads, count, lowBits.bits);
  readScales(format, view, at, block);
}

/** All of a block but its codes. */
export function readScales(format: BlockFormat, view: DataView, at: number, block: Block): void {
  format.scales?.read(view, at, block);
  block.d = view.getUint16(at + format.d, true);
  if (format.min) block.dmin = view.getUint16(at + format.min.at, true);
}

/** Writes every byte of the block at byte `at`. */
export function writeBlock(format: BlockFormat, block: Block, view: DataView, at: number): void {
  const [lowBits, highBits] = format.codes;
  const count = format.values / 4;
  writeField(view, at, lowBits, block.quads, count, 0);
  if (highBits) writeField(view, at, highBits, block.quads, count, lowBits.bits);
  format.scales?.write(view, at, block);
  view.setUint16(at + format.d, block.d, true);
  if (format.min) view.setUint16(at + format.min.at, block.dmin, true);
}

/** Bytes of a row of K values. Throws where K is not whole blocks. */
export function rowBytes({ type, values, bytes }: BlockFormat, K: number): number {
  if (K % values !== 0) throw new Error(`${K} values are not whole ${type} blocks of ${values}`);
  return (K / values) * bytes;
}
