// Rows as a checkpoint stores them → rows of planes in a block type: repacked where they are blocks of that type
// already, else quantised. One conversion looks at nothing but its own rows.
import { dequantise } from "../blocks/dequantise.ts";
import { blockFormats, isBlockType, rowBytes, type BlockType } from "../blocks/format.ts";
import { packPlanesInto, planeLayout, type RowPlaces } from "../blocks/planes.ts";
import { bf16ToF32, f16ToF32 } from "../halves.ts";
import { quantiseToPlanesInto } from "./quantise.ts";

/** Rows as they are stored. */
interface Stored {
  readonly from: "F32" | "F16" | "BF16" | BlockType;
  readonly rows: Uint8Array;
}

export interface Conversion extends Stored {
  readonly to: BlockType;
  /** Values of a row. */
  readonly K: number;
  /** As many rows, which come between those, each behind its own. */
  readonly between?: Stored;
}

/** Errors: bad_checkpoint for a value that the type cannot hold. */
export function convert(job: Conversion): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(convertedBytes(job));
  convertInto(job, out);
  return out;
}

export function convertedBytes({ from, to, K, rows, between }: Conversion): number {
  const count = rows.length / storedRowBytes(from, K);
  return (between ? 2 : 1) * count * planeLayout(to, K).bytes;
}

/** Errors: as `convert`; `out`, in which there may be anything, is then in part as it was. */
export function convertInto({ from, to, K, rows, between }: Conversion, out: Uint8Array): void {
  const step = between ? 2 : 1;
  place({ from, rows }, to, K, out, { first: 0, step });
  if (between) place(between, to, K, out, { first: 1, step });
}

function place({ from, rows }: Stored, to: BlockType, K: number, out: Uint8Array, places: RowPlaces): void {
  if (from === to) return packPlanesInto(to, K, rows, out, places);
  if (isBlockType(from)) throw new Error(`${from} rows are not made into ${to}: what is lost is lost`);
  quantiseToPlanesInto(to, K, toF32(from, rows), out, places);
}

/** Bytes of a row of K stored values. */
export function storedRowBytes(from: Conversion["from"], K: number): number {
  return isBlockType(from) ? rowBytes(blockFormats[from], K) : K * (from === "F32" ? 4 : 2);
}

/** Stored rows as f32. */
export function toF32(from: Conversion["from"], rows: Uint8Array): Float32Array {
  if (isBlockType(from)) return dequantise(from, rows);
  const aligned = rows.byteOffset % 4 === 0 ? rows : rows.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  if (from === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  return from === "BF16" ? bf16ToF32(halves) : f16ToF32(halves);
}
