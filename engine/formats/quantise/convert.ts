// Rows as a checkpoint stores them → rows of planes in a block type: repacked where they are blocks of that type
// already, else quantised. One conversion looks at nothing but its own rows.
import { dequantise } from "../blocks/dequantise.ts";
import { blockFormats, isBlockType, rowBytes, type BlockType } from "../blocks/format.ts";
import { packPlanes } from "../blocks/planes.ts";
import { bf16ToF32, f16ToF32 } from "../halves.ts";
import { quantiseToPlanes } from "./quantise.ts";

export interface Conversion {
  /** What the rows are stored in. */
  readonly from: "F32" | "F16" | "BF16" | BlockType;
  readonly to: BlockType;
  /** Values of a row. */
  readonly K: number;
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** Errors: bad_checkpoint for a value that the type cannot hold. */
export function convert({ from, to, K, rows }: Conversion): Uint8Array<ArrayBuffer> {
  if (from === to) return packPlanes(to, K, rows);
  if (isBlockType(from)) throw new Error(`${from} rows are not made into ${to}: what is lost is lost`);
  return quantiseToPlanes(to, K, toF32(from, rows));
}

/** Bytes of a row of K stored values. */
export function storedRowBytes(from: Conversion["from"], K: number): number {
  return isBlockType(from) ? rowBytes(blockFormats[from], K) : K * (from === "F32" ? 4 : 2);
}

/** Stored rows as f32. */
export function toF32(from: Conversion["from"], rows: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  if (isBlockType(from)) return dequantise(from, rows);
  const aligned = rows.byteOffset % 4 === 0 ? rows : rows.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  if (from === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  return from === "BF16" ? bf16ToF32(halves) : f16ToF32(halves);
}
