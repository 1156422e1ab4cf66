// Blocks as kernels read them. A GGUF block interleaves codes and scales at odd offsets (Q8_0: 34 bytes, Q6_K: 210);
// on the device a row of K values is instead a run of planes, each one kind of number for the whole row, and a row is
// padded to 16 bytes, so that every lane reads whole aligned words. Nothing is rounded: blocks ↔ planes is exact.
//
//   plane    bytes              what
//   low      K · bits / 8       2, 4 or 8 low bits of each code, as a field of stride 4 (field.ts): word w holds
//                               32 / bits neighbours, the first four in the low bits of its bytes 0 … 3, the next four
//                               in the bits above those, and so on
//   high     K · bits / 8       1 or 2 bits above them, in the same way (the types with codes of 3, 5 and 6 bits)
//   scales   K / group · 1, 2   _K types: one byte a group: the scale, signed (Q3_K, Q6_K); or the scale in the low and
//                               the minimum in the high nibble (Q2_K); or two bytes: scale, minimum (Q4_K, Q5_K)
//   d        K / values · 2, 4  f16: d; or d, then dmin
//
// Codes of Q8_0 are signed bytes; the others count from 0, `zero` still to be subtracted.
import { f16ToNumber } from "../halves.ts";
import { fieldBytes, readField, writeField, type Field } from "./field.ts";
import {
  blockFormats,
  emptyBlock,
  readScales,
  rowBytes,
  writeBlock,
  type Block,
  type BlockFormat,
  type BlockType,
} from "./format.ts";
import { moveField } from "./move.ts";
import type { ScaleCodec } from "./scales.ts";

/** Where the planes of a row begin, in bytes. */
export interface PlaneLayout {
  readonly format: BlockFormat;
  /** Values of a row. */
  readonly K: number;
  readonly low: Field;
  readonly high: Field | undefined;
  readonly scales: number;
  readonly d: number;
  /** Where the last plane ends; zeros follow. */
  readonly end: number;
  /** Of a row, a multiple of 16. */
  readonly bytes: number;
}

/** Throws a plain Error where K is not whole blocks. */
export function planeLayout(type: BlockType, K: number): PlaneLayout {
  const format = blockFormats[type];
  const blocks = rowBytes(format, K) / format.bytes;
  const [lowCodes, highCodes] = format.codes;
  const low: Field = { at: 0, bits: lowCodes.bits, stride: 4 };
  const afterLow = fieldBytes(low, K);
  const high: Field | undefined = highCodes && { at: afterLow, bits: highCodes.bits, stride: 4 };
  const scales = afterLow + (high ? fieldBytes(high, K) : 0);
  const d = scales + (format.scales ? (K / format.group) * scaleBytes(format) : 0);
  const end = d + blocks * dBytes(format);
  return { format, K, low, high, scales, d, end, bytes: Math.ceil(end / 16) * 16 };
}

/** Rows of blocks → rows of planes. */
export function packPlanes(type: BlockType, K: number, blocks: Uint8Array): Uint8Array<ArrayBuffer> {
  const layout = planeLayout(type, K);
  const rows = wholeRows(blocks, rowBytes(layout.format, K));
  const out = new Uint8Array(rows * layout.bytes);
  packPlanesInto(type, K, blocks, out);
  return out;
}

/** Which rows of a place: this one, and every `step`-th behind it. */
export interface RowPlaces {
  readonly first: number;
  readonly step: number;
}

export const everyRow: RowPlaces = { first: 0, step: 1 };

/** The same into some rows of `out`, whatever was in them. */
export function packPlanesInto(
  type: BlockType,
  K: number,
  blocks: Uint8Array,
  out: Uint8Array,
  { first, step } = everyRow,
): void {
  const layout = planeLayout(type, K);
  const rows = wholeRows(blocks, rowBytes(layout.format, K));
  const from = viewOf(blocks);
  const to = viewOf(out);
  const block = emptyBlock();
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const base = (first + row * step) * layout.bytes;
    for (let b = 0; b < K / layout.format.values; b++, at += layout.format.bytes) {
      moveBlock(layout, from, at, to, base, b, block);
    }
    endRow(layout, out, base);
  }
}

/** Zeros between the last plane and the next row. */
export function endRow({ end, bytes }: PlaneLayout, out: Uint8Array, row: number): void {
  if (end < bytes) out.fill(0, row + end, row + bytes);
}

/** Block b of a row of planes, straight from the block at byte `at`. */
function moveBlock(
  layout: PlaneLayout,
  from: DataView,
  at: number,
  to: DataView,
  row: number,
  b: number,
  scratch: Block,
): void {
  const { format, low, high } = layout;
  const [lowCodes, highCodes] = format.codes;
  const { values } = format;
  moveField(from, at, lowCodes, to, row + low.at + b * fieldBytes(low, values), values);
  if (high) moveField(from, at, highCodes!, to, row + high.at + b * fieldBytes(high, values), values);
  readScales(format, from, at, scratch);
  writeScales(layout, scratch, b, to, row);
}

/** Rows of planes → rows of blocks: the inverse. */
export function unpackPlanes(type: BlockType, K: number, planes: Uint8Array): Uint8Array<ArrayBuffer> {
  const layout = planeLayout(type, K);
  const rows = wholeRows(planes, layout.bytes);
  const out = new Uint8Array(rows * rowBytes(layout.format, K));
  const from = viewOf(planes);
  const to = viewOf(out);
  const block = emptyBlock();
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let b = 0; b < K / layout.format.values; b++, at += layout.format.bytes) {
      readPlanes(layout, from, row * layout.bytes, b, block);
      writeBlock(layout.format, block, to, at);
    }
  }
  return out;
}

/** Writes block b of the row that begins at byte `row`. */
export function writePlanes(layout: PlaneLayout, block: Block, b: number, to: DataView, row: number): void {
  const { format, low, high } = layout;
  const count = format.values / 4;
  writeField(to, row + b * fieldBytes(low, format.values), low, block.quads, count, 0);
  if (high) writeField(to, row + b * fieldBytes(high, format.values), high, block.quads, count, low.bits);
  writeScales(layout, block, b, to, row);
}

function writeScales(layout: PlaneLayout, block: Block, b: number, to: DataView, row: number): void {
  const { format, scales, d } = layout;
  const groups = format.values / format.group;
  const first = row + scales + b * groups * scaleBytes(format);
  if (format.scales) for (let g = 0; g < groups; g++) writeScale(format.scales.plane, block, g, to, first);
  const at = row + d + b * dBytes(format);
  to.setUint16(at, block.d, true);
  if (format.min) to.setUint16(at + 2, block.dmin, true);
}

function readPlanes(layout: PlaneLayout, from: DataView, row: number, b: number, block: Block): void {
  const { format, low, high, scales, d } = layout;
  const count = format.values / 4;
  block.quads.fill(0, 0, count);
  readField(from, row + b * fieldBytes(low, format.values), low, block.quads, count, 0);
  if (high) readField(from, row + b * fieldBytes(high, format.values), high, block.quads, count, low.bits);
  const groups = format.values / format.group;
  const first = row + scales + b * groups * scaleBytes(format);
  for (let g = 0; g < groups && format.scales; g++) {
    const { scale, minimum } = readScale(format, g, from, first);
    block.scales[g] = scale;
    block.mins[g] = minimum;
  }
  const at = row + d + b * dBytes(format);
  block.d = from.getUint16(at, true);
  if (format.min) block.dmin = from.getUint16(at + 2, true);
}

/**
 * Rows of planes → f32, value by value with the words, shifts and masks that a kernel uses: the twin of
 * shaders/weights/*.wgsl.
 */
export function dequantisePlanes(type: BlockType, K: number, planes: Uint8Array): Float32Array<ArrayBuffer> {
  const layout = planeLayout(type, K);
  const out = new Float32Array(wholeRows(planes, layout.bytes) * K);
  const view = viewOf(planes);
  for (let i = 0; i < out.length; i++)
    out[i] = valueAt(layout, view, Math.floor(i / K) * layout.bytes, i % K);
  return out;
}

function valueAt(layout: PlaneLayout, view: DataView, row: number, k: number): number {
  const { format, low, high, scales, d } = layout;
  const code = bitsAt(view, row, low, k) | (high ? bitsAt(view, row, high, k) << low.bits : 0);
  const centred = format.signed ? (code << 24) >> 24 : code - format.zero;
  const halves = view.getUint32(row + d + ((Math.floor(k / format.values) * dBytes(format)) & ~3), true);
  const odd = dBytes(format) === 2 && Math.floor(k / format.values) % 2 === 1;
  const dOf = f16ToNumber(odd ? halves >>> 16 : halves & 0xffff);
  const minOf = format.min ? format.min.sign * f16ToNumber(halves >>> 16) : -0;
  if (!format.scales) return dOf * centred + minOf;
  const { scale, minimum } = readScale(format, Math.floor(k / format.group), view, row + scales);
  return dOf * scale * centred + (format.min ? minOf * minimum : -0);
}

function bitsAt(view: DataView, row: number, { at, bits }: Field, k: number): number {
  const perWord = 32 / bits;
  const word = view.getUint32(row + at + 4 * Math.floor(k / perWord), true);
  const shift = 8 * (k % 4) + bits * Math.floor((k % perWord) / 4);
  return (word >>> shift) & (2 ** bits - 1);
}

function scaleBytes({ scales }: BlockFormat): number {
  return scales?.plane === "pair" ? 2 : 1;
}

function dBytes({ min }: BlockFormat): number {
  return min ? 4 : 2;
}

function writeScale(plane: ScaleCodec["plane"], block: Block, g: number, to: DataView, first: number): void {
  if (plane === "byte") to.setInt8(first + g, block.scales[g]!);
  else if (plane === "nibbles") to.setUint8(first + g, block.scales[g]! | (block.mins[g]! << 4));
  else to.setUint16(first + 2 * g, block.scales[g]! | (block.mins[g]! << 8), true);
}

function readScale({ scales }: BlockFormat, g: number, from: DataView, first: number) {
  if (scales!.plane === "byte") return { scale: from.getInt8(first + g), minimum: 1 };
  if (scales!.plane === "nibbles") {
    const byte = from.getUint8(first + g);
    return { scale: byte & 15, minimum: byte >> 4 };
  }
  return { scale: from.getUint8(first + 2 * g), minimum: from.getUint8(first + 2 * g + 1) };
}

function wholeRows(bytes: Uint8Array, size: number): number {
  const rows = bytes.byteLength / size;
  if (Number.isInteger(rows)) return rows;
  throw new Error(`${bytes.byteLength} bytes are not whole rows of ${size}`);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
