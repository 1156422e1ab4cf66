// f32 → blocks of any type. Blocks depend on nothing but their own values, so rows may be quantised anywhere and in any
// order: the bytes are the same.
import { EngineError } from "../../errors.ts";
import {
  blockFormats,
  emptyBlock,
  rowBytes,
  writeBlock,
  type Block,
  type BlockType,
} from "../blocks/format.ts";
import { endRow, everyRow, planeLayout, writePlanes } from "../blocks/planes.ts";
import { quantiseBytes, quantiseCentred, quantiseRanged } from "./legacy.ts";
import { centredQuantiser, rangedQuantiser } from "./super.ts";

/** Fills a block from the values that begin at x[first]. */
type BlockQuantiser = (x: Float32Array, first: number, block: Block) => void;

const quantisers: Readonly<Record<BlockType, BlockQuantiser>> = {
  Q4_0: (x, first, block) => quantiseCentred(x, first, block, 8),
  Q4_1: (x, first, block) => quantiseRanged(x, first, block, 15),
  Q5_0: (x, first, block) => quantiseCentred(x, first, block, 16),
  Q5_1: (x, first, block) => quantiseRanged(x, first, block, 31),
  Q8_0: quantiseBytes,
  Q2_K: rangedQuantiser(blockFormats.Q2_K, { limit: 15, trials: [0, -0.6, 0.6, 1.2], polish: 4 }),
  Q3_K: centredQuantiser(blockFormats.Q3_K, { limit: 32, trials: [0, -0.8, -0.4, 0.4, 0.8], polish: 3 }),
  Q4_K: rangedQuantiser(blockFormats.Q4_K, { limit: 63, trials: [0, -0.8, 0.8], polish: 3 }),
  Q5_K: rangedQuantiser(blockFormats.Q5_K, { limit: 63, trials: [0, -0.5, 0.5], polish: 2 }),
  Q6_K: centredQuantiser(blockFormats.Q6_K, { limit: 128, trials: [0, -0.6, 0.6], polish: 2 }),
};

/** Rows of K values → rows of blocks, as GGUF has them. Errors: bad_checkpoint for a value that no block can hold. */
export function quantise(type: BlockType, K: number, x: Float32Array): Uint8Array<ArrayBuffer> {
  const format = blockFormats[type];
  const out = new Uint8Array((x.length / K) * rowBytes(format, K));
  const view = new DataView(out.buffer);
  eachBlock(type, x, (block, b) => writeBlock(format, block, view, b * format.bytes));
  return out;
}

/** Rows of K values → rows of planes, as kernels read them. Errors: as `quantise`. */
export function quantiseToPlanes(type: BlockType, K: number, x: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array((x.length / K) * planeLayout(type, K).bytes);
  quantiseToPlanesInto(type, K, x, out);
  return out;
}

/** The same into some rows of `out`, whatever was in them. */
export function quantiseToPlanesInto(
  type: BlockType,
  K: number,
  x: Float32Array,
  out: Uint8Array,
  { first, step } = everyRow,
): void {
  const layout = planeLayout(type, K);
  const perRow = K / layout.format.values;
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  eachBlock(type, x, (block, b) => {
    const row = (first + Math.floor(b / perRow) * step) * layout.bytes;
    writePlanes(layout, block, b % perRow, view, row);
    if (b % perRow === perRow - 1) endRow(layout, out, row);
  });
}

function eachBlock(type: BlockType, x: Float32Array, sink: (block: Block, b: number) => void): void {
  const { values, min } = blockFormats[type];
  if (x.length % values !== 0) throw new Error(`${x.length} values are not whole ${type} blocks`);
  const quantiser = quantisers[type];
  const block = emptyBlock();
  for (let b = 0; b * values < x.length; b++) {
    quantiser(x, b * values, block);
    const holds = isFinite16(block.d) && (!min || isFinite16(block.dmin)) && allFinite(x, b * values, values);
    if (!holds) throw beyond(type, x.subarray(b * values, (b + 1) * values));
    sink(block, b);
  }
}

function isFinite16(bits: number): boolean {
  return (bits & 0x7c00) !== 0x7c00;
}

function allFinite(x: Float32Array, first: number, count: number): boolean {
  let nothing = 0;
  for (let i = first; i < first + count; i++) nothing += x[i]! * 0;
  return nothing === 0;
}

function beyond(type: BlockType, part: Float32Array): EngineError {
  const odd =
    part.find((value) => !Number.isFinite(value)) ??
    part.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
  return new EngineError("bad_checkpoint", `a weight is ${odd}, which ${type} cannot hold`);
}
