// Blocks against ggml's own reading of them.
import { describe, expect, test } from "vitest";
import { blockVectors, randomBlocks, short } from "../../../test-fixtures/blocks.ts";
import { dequantise } from "./dequantise.ts";
import { blockFormats, blockTypes, emptyBlock, readBlock, rowBytes, writeBlock } from "./format.ts";

/** Where two arrays differ in any bit; one NaN is as good as another. */
function differences(got: Float32Array, want: Float32Array): number[] {
  expect(got.length).toBe(want.length);
  return [...want.keys()].filter((i) => !Object.is(got[i], want[i]));
}

describe.each(blockTypes)("%s", (type) => {
  const format = blockFormats[type];
  const vectors = blockVectors(type);
  const blocks = randomBlocks(type);
  const ordinary = Uint8Array.from(Buffer.from(vectors.block, "hex"));
  const ordinaryValues = new Float32Array(Uint8Array.from(Buffer.from(vectors.values, "hex")).buffer);

  test("every value of a block, to the bit", () => {
    expect(Buffer.from(blocks.subarray(-format.bytes)).toString("hex")).toBe(vectors.block);
    expect(differences(dequantise(type, ordinary), ordinaryValues)).toEqual([]);
  });

  test("every value of every block, special scales among them", () => {
    const values = dequantise(type, blocks);
    const hashes = vectors.hashes.map((_, b) =>
      short(values.subarray(b * format.values, (b + 1) * format.values)),
    );
    expect(hashes).toEqual(vectors.hashes);
    expect(values.some(Number.isNaN)).toBe(true);
  });

  test("each bit of a block matters, and the values see it", () => {
    for (let bit = 0; bit < 8 * format.bytes; bit++) {
      const changed = ordinary.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const seen = differences(dequantise(type, changed), ordinaryValues);
      expect(seen.length, `bit ${bit}`).toBeGreaterThan(0);
    }
  });

  test("taken apart and put together again: the same bytes", () => {
    const view = new DataView(blocks.buffer);
    const again = new Uint8Array(blocks.length).fill(0xa5);
    const to = new DataView(again.buffer);
    const block = emptyBlock();
    for (let at = 0; at < blocks.length; at += format.bytes) {
      readBlock(format, view, at, block);
      writeBlock(format, block, to, at);
    }
    expect(Buffer.from(again).equals(blocks)).toBe(true);
  });

  test("a view that begins anywhere", () => {
    const shifted = new Uint8Array(format.bytes + 3);
    shifted.set(ordinary, 3);
    expect(differences(dequantise(type, shifted.subarray(3)), ordinaryValues)).toEqual([]);
  });

  test("what is no whole block is refused", () => {
    expect(() => dequantise(type, blocks.subarray(1))).toThrow(`are not whole ${type} blocks`);
    expect(() => rowBytes(format, format.values + 8)).toThrow(`not whole ${type} blocks of ${format.values}`);
    expect(rowBytes(format, 3 * format.values)).toBe(3 * format.bytes);
  });
});
