// Which blocks a draw sees: all that the twin keeps a token of, few where few are enough, and no draw without them.
import { expect, test } from "vitest";
import { generator, randomLogits, randomSettings, startOf } from "../../ops/sample.fixture.ts";
import type { DrawStart } from "../../ops/sample.ts";
import { createSampler, cutHead } from "../../reference/sample.ts";
import { neededBlocks, type Blocks } from "./needed.ts";

const V = 1000;
const size = 32;
const blockCount = Math.ceil(V / size);

/** As shaders/sample_blocks.wgsl makes them, in f64. */
function blocksOf(logits: Float32Array, temperature: number): Blocks {
  const words = new Uint32Array(8 * blockCount);
  const floats = new Float32Array(words.buffer);
  for (let block = 0; block < blockCount; block += 1) {
    const first = block * size;
    const own = logits.subarray(first, first + size);
    let best = 0;
    for (const [i, logit] of own.entries()) if (logit > own[best]!) best = i;
    const high = own[best]!;
    words.set([keyOf(high), first + best, keyOf(high), first + best], 8 * block);
    if (high > -Infinity && temperature > 0)
      floats[8 * block + 4] = own.reduce((sum, logit) => sum + Math.exp((logit - high) / temperature), 0);
    words[8 * block + 6] = own.some(Number.isNaN) ? 1 : 0;
  }
  return { words, size };
}

function keyOf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value + 0).buffer)[0]!;
  if (bits === 0x8000_0000) return bits;
  return (bits >= 0x8000_0000 ? ~bits : bits | 0x8000_0000) >>> 0;
}

interface Case {
  logits: Float32Array;
  start: DrawStart;
  blocks: Blocks;
}

function cases(seed: number, runs: number): Case[] {
  const random = generator(seed);
  return Array.from({ length: runs }, () => {
    const logits = randomLogits(random, V);
    const start = startOf(randomSettings(random));
    return { logits, start, blocks: blocksOf(logits, start.sampling.temperature) };
  }).filter(({ logits }) => logits.some((logit) => logit > -Infinity));
}

/** Blocks of the tokens that the draw depends on: all that are kept, or, where nothing is cut off, the one drawn. */
function decisive({ logits, start }: Case): number[] {
  const { topK, topP, minP } = start.sampling;
  const cut = topK > 0 || topP < 1 || minP > 0;
  const ids = cut ? cutHead(logits, start.sampling).map(({ id }) => id) : [createSampler(start)(logits).id];
  return [...new Set(ids.map((id) => Math.floor(id / size)))];
}

function missed(all: readonly Case[], alter: (blocks: readonly number[]) => readonly number[]): Case[] {
  return all.filter((one) => {
    const seen = alter(neededBlocks(one.blocks, one.start, 0).drawn);
    return decisive(one).some((block) => !seen.includes(block));
  });
}

test("every token that may be drawn is in a block that is seen", () => {
  const all = cases(3, 3000);
  expect(all.length).toBeGreaterThan(2500);
  expect(missed(all, (blocks) => blocks)).toEqual([]);
  // Known bad: a block too few.
  expect(missed(all, (blocks) => blocks.slice(1)).length).toBeGreaterThan(1000);
  expect(missed(all, (blocks) => blocks.slice(0, -1)).length).toBeGreaterThan(1000);
});

test("few blocks where few are enough, all of a flat tail", () => {
  const random = generator(8);
  const peaked = Float32Array.from({ length: V }, () => -20 + random());
  for (const [i, id] of [17, 470, 471, 802].entries()) peaked[id] = 5 - i;
  const flat = new Float32Array(V);
  const count = (logits: Float32Array, sampling: Partial<DrawStart["sampling"]>, more = {}) => {
    const start = startOf(sampling, more);
    const { drawn, told } = neededBlocks(blocksOf(logits, start.sampling.temperature), start, 0);
    return [drawn.length, told.length];
  };
  expect(count(peaked, { temperature: 0 })).toEqual([0, 0]);
  expect(count(peaked, { temperature: 0 }, { candidates: 1 })).toEqual([0, 1]);
  expect(count(peaked, { topK: 3 })).toEqual([3, 0]);
  expect(count(peaked, { topP: 0.8 })).toEqual([2, 0]);
  expect(count(peaked, { minP: 0.3 })).toEqual([2, 0]);
  expect(count(peaked, { topP: 0.99, minP: 0.3 }, { candidates: 3 })).toEqual([2, 3]);
  expect(count(peaked, {})[0]).toBeLessThanOrEqual(2);
  expect(count(peaked, { temperature: Number.MIN_VALUE })).toEqual([1, 0]);
  expect(count(flat, {})[0]).toBeLessThanOrEqual(2);
  expect(count(flat, { topK: 3 })).toEqual([3, 0]);
  expect(count(flat, { topP: 0.5 })).toEqual([blockCount, 0]);
  expect(count(flat, { minP: 0.5 })).toEqual([blockCount, 0]);
});

test("of logits that are not healthy all are seen, to be told", () => {
  const healthy = Float32Array.from({ length: V }, (_, i) => Math.cos(7 * i));
  const all = (logits: Float32Array) =>
    neededBlocks(blocksOf(logits, 0), startOf({ temperature: 0 }), 0).drawn;
  expect(all(healthy)).toEqual([]);
  for (const logits of [healthy.with(999, NaN), healthy.with(11, Infinity), healthy.slice().fill(-Infinity)])
    expect(all(logits)).toHaveLength(blockCount);
});
