// Quantisation against ggml's: to the byte where the reference is a formula, by its error where it is a search.
import { describe, expect, test } from "vitest";
import { blockVectors, rowLength, short, weights, weightsHash } from "../../../test-fixtures/blocks.ts";
import { EngineError } from "../../errors.ts";
import { dequantise } from "../blocks/dequantise.ts";
import { blockFormats, blockTypes, rowBytes, type BlockType } from "../blocks/format.ts";
import { packPlanes } from "../blocks/planes.ts";
import { quantise, quantiseToPlanes } from "./quantise.ts";

const x = weights();
const rows = x.length / rowLength;
/** Rows that look like weights; after them come the odd ones. */
const ordinary = 18;

function rmsErrors(type: BlockType): number[] {
  const back = dequantise(type, quantise(type, rowLength, x));
  return Array.from({ length: rows }, (_, row) => {
    let squares = 0;
    for (let i = row * rowLength; i < (row + 1) * rowLength; i++) squares += (back[i]! - x[i]!) ** 2;
    return Math.sqrt(squares / rowLength);
  });
}

test("the weights are those that ggml was given", () => {
  expect(short(x)).toBe(weightsHash);
});

test.each(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"] as const)("%s: ggml's bytes", (type) => {
  const size = rowBytes(blockFormats[type], rowLength);
  const made = quantise(type, rowLength, x);
  const hashes = Array.from({ length: rows }, (_, row) => short(made.subarray(row * size, (row + 1) * size)));
  expect(hashes).toEqual(blockVectors(type).quantised);
});

test.each(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"] as const)("%s: as close as ggml, or closer", (type) => {
  const errors = rmsErrors(type);
  const theirs = blockVectors(type).error;
  const ratios = errors.slice(0, ordinary).map((error, row) => error / theirs[row]!);
  expect(Math.max(...ratios)).toBeLessThan(1.05);
  expect(ratios.reduce((sum, ratio) => sum + ratio) / ordinary).toBeLessThan(1);
  for (let row = ordinary; row < rows; row++) {
    const largest = x
      .subarray(row * rowLength, (row + 1) * rowLength)
      .reduce((m, v) => Math.max(m, Math.abs(v)));
    expect(errors[row], `row ${row}`).toBeLessThanOrEqual(1.05 * theirs[row]! + 2 ** -10 * largest);
  }
});

describe.each(blockTypes)("%s", (type) => {
  const { values, bits, min, scales } = blockFormats[type];

  test("no value is off by more than a step", () => {
    const back = dequantise(type, quantise(type, rowLength, x));
    for (let at = 0; at < ordinary * rowLength; at += values) {
      const part = x.subarray(at, at + values);
      const range = min ? Math.max(...part, 0) - Math.min(...part, 0) : 2 * Math.max(...part.map(Math.abs));
      const step = (scales ? 1.2 : 1) * (range / (2 ** bits - 1)); // scales of scales are rounded as well
      const worst = Math.max(...part.map((value, i) => Math.abs(value - back[at + i]!)));
      expect(worst, `block at ${at}`).toBeLessThanOrEqual(step);
    }
  });

  test("what values have in common stays, where they differ by little", () => {
    const near = x.subarray(0, 10 * rowLength).map((value) => 10 + value);
    const back = dequantise(type, quantise(type, rowLength, near));
    expect(Math.max(...near.map((value, i) => Math.abs(value - back[i]!)))).toBeLessThan(0.2);
  });

  test("what a block holds already stays as it is", () => {
    const once = dequantise(type, quantise(type, rowLength, x.subarray(0, ordinary * rowLength)));
    const twice = dequantise(type, quantise(type, rowLength, once));
    const moved = once.map((value, i) => Math.abs(value - twice[i]!));
    const size = Math.max(...once.map(Math.abs));
    expect(Math.max(...moved) / size).toBeLessThan(bits === 2 ? 0.2 : 0.05);
  });

  test("straight to planes: the blocks, repacked", () => {
    for (const K of [rowLength, 2 * rowLength, 13 * rowLength]) {
      const planes = quantiseToPlanes(type, K, x);
      expect(Buffer.from(planes).equals(packPlanes(type, K, quantise(type, K, x)))).toBe(true);
    }
  });

  test.each([NaN, Infinity, -Infinity, 3e38])("%s is refused", (value) => {
    const broken = x.slice(0, 2 * rowLength);
    broken[300] = value;
    const attempt = () => quantise(type, rowLength, broken);
    expect(attempt).toThrow(EngineError);
    expect(attempt).toThrow(`a weight is ${Math.fround(value)}, which ${type} cannot hold`);
  });
});
