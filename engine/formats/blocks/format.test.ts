// Blocks against ggml's own reading of them.
import { describe, expect, test } from "vitest";
import { blockVectors } from "../../../test-fixtures/blocks.ts";
import { dequantise } from "./dequantise.ts";
import { blockFormats, blockTypes, emptyBlock, readBlock, rowBytes, writeBlock } from "./format.ts";

/** Where two arrays differ in any bit; one NaN is as good as another. */
function differences(got: Float32Array, want: Float32Array): number[] {
  expect(got.length).toBe(want.length);
  return [...want.keys()].filter((i) => !Object.is(got[i], want[i]));
}

describe.each(blockTypes)("%s", (type) => {
  const format = blockFormats[type];
  const { blocks, values } = blockVectors(type);

  test("every value of every block, to the bit", () => {
    expect(differences(dequantise(type, blocks), values)).toEqual([]);
    expect(values.some(Number.isNaN)).toBe(true); // the vectors hold special scales
    expect(values.some((v) => v !== 0 && Math.abs(v) < 1e-4)).toBe(true);
  });

  test("each bit of a block matters, and the values see it", () => {
    const block = blocks.slice(-format.bytes); // an ordinary one
    const want = dequantise(type, block);
    for (let bit = 0; bit < 8 * format.bytes; bit++) {
      const changed = block.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const seen = differences(dequantise(type, changed), want);
      expect(seen.length, `bit ${bit}`).toBeGreaterThan(0);
      expect(seen.length, `bit ${bit}`).toBeLessThanOrEqual(format.values);
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
    const shifted = new Uint8Array(blocks.length + 3);
    shifted.set(blocks, 3);
    expect(differences(dequantise(type, shifted.subarray(3)), values)).toEqual([]);
  });

  test("what is no whole block is refused", () => {
    expect(() => dequantise(type, blocks.subarray(1))).toThrow(`are not whole ${type} blocks`);
    expect(() => rowBytes(format, format.values + 8)).toThrow(`not whole ${type} blocks of ${format.values}`);
    expect(rowBytes(format, 3 * format.values)).toBe(3 * format.bytes);
  });
});
