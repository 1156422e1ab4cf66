// For tests of the block formats: ggml's own blocks, values and quantisation (blocks/make.py says how they were made).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BlockType } from "../engine/formats/blocks/format.ts";
import { headerLength, parseHeader } from "../engine/formats/header.ts";
import { packageRoot } from "../engine/root.ts";

const path = join(packageRoot, "test-fixtures", "blocks", "vectors.safetensors");
const file = new Uint8Array(readFileSync(path)); // a Buffer would share what it slices
const dataStart = 8 + headerLength(file.subarray(0, 8), path, file.length);
const { tensors } = parseHeader(file.subarray(8, dataStart), {
  file: path,
  dataStart,
  dataBytes: file.length - dataStart,
});

function bytesOf(name: string): Uint8Array<ArrayBuffer> {
  const { offset, bytes } = tensors.get(name)!;
  return file.slice(offset, offset + bytes);
}

export interface BlockVectors {
  /** Random blocks, special scales among them. */
  blocks: Uint8Array<ArrayBuffer>;
  /** What they mean. */
  values: Float32Array<ArrayBuffer>;
  /** `weights` as ggml quantises them. */
  quantised: Uint8Array<ArrayBuffer>;
}

export function blockVectors(type: BlockType): BlockVectors {
  return {
    blocks: bytesOf(`${type}.blocks`),
    values: new Float32Array(bytesOf(`${type}.values`).buffer),
    quantised: bytesOf(`${type}.quantised`),
  };
}

/** [rows, 256] */
export const weights = new Float32Array(bytesOf("weights").buffer);
