// Planes hold what blocks hold: there and back to the bit, and the twin of the kernels reads the same values.
import { describe, expect, test } from "vitest";
import { randomBlocks } from "../../../test-fixtures/blocks.ts";
import { dequantise } from "./dequantise.ts";
import { blockFormats, blockTypes, emptyBlock, readBlock, rowBytes } from "./format.ts";
import {
  dequantisePlanes,
  packPlanes,
  packPlanesInto,
  planeLayout,
  unpackPlanes,
  writePlanes,
} from "./planes.ts";

describe.each(blockTypes)("%s", (type) => {
  const { values, bytes } = blockFormats[type];
  const blocks = randomBlocks(type);

  // 40 blocks as rows of 1, 4, 5 and 40: rows with and without padding, with odd and even numbers of scales
  test.each([1, 4, 5, 40])("rows of %i blocks", (perRow) => {
    const K = perRow * values;
    const planes = packPlanes(type, K, blocks);
    expect(planes.length).toBe((40 / perRow) * planeLayout(type, K).bytes);
    expect(Buffer.from(planes).equals(takenApart(K))).toBe(true);
    expect(Buffer.from(unpackPlanes(type, K, planes)).equals(blocks)).toBe(true);
    const [got, want] = [dequantisePlanes(type, K, planes), dequantise(type, blocks)];
    expect([...want.keys()].filter((i) => !Object.is(got[i], want[i]))).toEqual([]);
  });

  test.each([1, 5])("every other row of a place that holds something: rows of %i blocks", (perRow) => {
    const K = perRow * values;
    const planes = packPlanes(type, K, blocks);
    const { bytes: rowLength } = planeLayout(type, K);
    const out = new Uint8Array(2 * planes.length + 3).fill(0xa5);
    packPlanesInto(type, K, blocks, out.subarray(3), { first: 1, step: 2 });
    const row = (r: number) => out.subarray(3 + r * rowLength, 3 + (r + 1) * rowLength);
    for (let r = 0; r < 40 / perRow; r++) {
      const want = planes.subarray(r * rowLength, (r + 1) * rowLength);
      expect(Buffer.compare(row(2 * r + 1), want), `row ${r}`).toBe(0);
      expect(row(2 * r).every((byte) => byte === 0xa5)).toBe(true);
    }
  });

  /** The slow way: each block taken apart and put into planes. */
  function takenApart(K: number): Uint8Array {
    const layout = planeLayout(type, K);
    const out = new Uint8Array((blocks.length / rowBytes(layout.format, K)) * layout.bytes);
    const [from, to] = [new DataView(blocks.buffer), new DataView(out.buffer)];
    const block = emptyBlock();
    for (let b = 0; b * bytes < blocks.length; b++) {
      readBlock(layout.format, from, b * bytes, block);
      const perRow = K / values;
      writePlanes(layout, block, b % perRow, to, Math.floor(b / perRow) * layout.bytes);
    }
    return out;
  }

  test("each plane begins on a word, each row on 16 bytes, and nothing grows by more than 4 % of a long row", () => {
    for (const perRow of [1, 3, 32]) {
      const layout = planeLayout(type, perRow * values);
      const starts = [layout.low.at, layout.high?.at ?? 0, layout.scales, layout.d];
      expect(starts.filter((at) => at % 4 !== 0)).toEqual([]);
      expect(layout.bytes % 16).toBe(0);
    }
    expect(planeLayout(type, 32 * values).bytes).toBeLessThan(1.04 * 32 * bytes);
  });

  test("part of a row or of a block is refused", () => {
    expect(() => packPlanes(type, values, blocks.subarray(1))).toThrow("are not whole rows");
    expect(() => planeLayout(type, values / 2)).toThrow("are not whole");
  });
});
