// For tests of the block formats: what ggml makes of blocks and weights (blocks/make.py says how that was recorded).
// Blocks and weights come from the formulas that make.py has as well; vectors.json holds one block of each type whole
// and hashes of what ggml reads from all of them.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blockFormats, blockTypes, type BlockType } from "../engine/formats/blocks/format.ts";
import { packageRoot } from "../engine/root.ts";

export interface BlockVectors {
  /** The last of the random blocks, and its values as f32, in hexadecimal. */
  block: string;
  values: string;
  /** Of the values of each random block. */
  hashes: string[];
  /** Of each row of `weights` as ggml quantises it. */
  quantised: string[];
  /** Root of the mean squared error of each row after that. */
  error: number[];
}

const path = join(packageRoot, "test-fixtures", "blocks", "vectors.json");
const recorded = JSON.parse(readFileSync(path, "utf8")) as Record<BlockType, BlockVectors> & {
  weights: string;
};

export function blockVectors(type: BlockType): BlockVectors {
  return recorded[type];
}

/** The hash of the recorded `weights`. */
export const weightsHash = recorded.weights;

/** The first 16 digits of a SHA-256 of the bytes; every NaN counts as 7fc00000. */
export function short(data: Uint8Array | Float32Array): string {
  const bytes = data instanceof Float32Array ? withOneNaN(data) : data;
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

function withOneNaN(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  for (let i = 0; i < bits.length; i++) if (Number.isNaN(values[i])) bits[i] = 0x7fc0_0000;
  return new Uint8Array(bits.buffer);
}

/** The upper 16 bits of a linear congruential generator. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
}

const special = [
  ...[0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x7bff],
  ...[0xfbff, 0x3c00, 0xbc00, 0x7c00, 0x7e00],
];

/** 40 blocks of random bytes, the f16 fields of ordinary size or, in the first 22, special. */
export function randomBlocks(type: BlockType): Uint8Array<ArrayBuffer> {
  const { bytes, d, min } = blockFormats[type];
  const halves = min ? [d, min.at] : [d];
  const next = randomFrom(1000 + blockTypes.indexOf(type));
  const blocks = Uint8Array.from({ length: 40 * bytes }, () => next() & 255);
  const view = new DataView(blocks.buffer);
  for (let i = 0; i < 40; i++) {
    for (const [field, at] of halves.entries()) {
      let bits = ((next() & 0xbfff) % 0x4000) + 0x1800 + (next() & 0x8000);
      if (i < 2 * special.length && i % halves.length === field) bits = special[i >> 1]!;
      view.setUint16(i * bytes + at, bits, true);
    }
  }
  return blocks;
}

export const rowLength = 256;

/** [26, 256]: rows as weights are, and the shapes that break quantisers. */
export function weights(): Float32Array<ArrayBuffer> {
  const next = randomFrom(77);
  const sum = () => next() + next() + next() + next() + next() + next();
  const bell = () => sum() - 6 * 32_768 + 3;
  const rows: number[][] = [];
  const add = (value: (i: number) => number) =>
    rows.push(Array.from({ length: rowLength }, (_, i) => value(i)));
  for (let i = 0; i < 10; i++) add(() => bell() * 2 ** -22);
  for (let i = 0; i < 4; i++) add(() => bell() * (1 + (next() % 7)) * 2 ** -20);
  add(() => next() * 2 ** -15 - 1);
  add(() => next() * 2 ** -16);
  add(() => next() * 2 ** -15 - 3);
  add(() => bell() * 2 ** -22); // with two outliers
  rows.at(-1)![7] = 4;
  rows.at(-1)![200] = -2.5;
  add((i) => (i === 131 ? -0.75 : 0));
  add((i) => (i >= 32 && i < 96 ? 0 : bell() * 2 ** -17));
  add(() => ((next() % 31) - 15) / 2); // halves: many lie between two codes
  for (const same of [0, 0.3125, -0.3125]) add(() => same);
  add(() => bell() * 2 ** -44);
  add(() => bell() * 2 ** -5);
  return Float32Array.from(rows.flat());
}
