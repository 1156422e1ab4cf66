// Sets of characters, and what they are in UTF-8.
import type { Ranges } from "./grammar.ts";

/** Every character: all code points but the surrogates. */
export const everything: Ranges = [0, 0xd7ff, 0xe000, 0x10ffff];

/** What JavaScript trims, and \s matches. */
export const whiteSpace: Ranges = [
  ...[0x9, 0xd, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a],
  ...[0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff],
];

/** Pairs in any order, overlapping or not, as a set. */
export function toRanges(pairs: readonly (readonly [number, number])[]): Ranges {
  const sorted = pairs.toSorted((a, b) => a[0] - b[0]);
  const ranges: number[] = [];
  for (const [low, high] of sorted) {
    if (ranges.length > 0 && low <= ranges.at(-1)! + 1)
      ranges[ranges.length - 1] = Math.max(ranges.at(-1)!, high);
    else ranges.push(low, high);
  }
  return ranges;
}

export function pairs(ranges: Ranges): [number, number][] {
  return Array.from({ length: ranges.length / 2 }, (_, i) => [ranges[2 * i]!, ranges[2 * i + 1]!]);
}

export function charsOf(text: string): Ranges {
  return toRanges([...text].map((character) => [character.codePointAt(0)!, character.codePointAt(0)!]));
}

export function union(...sets: readonly Ranges[]): Ranges {
  return toRanges(sets.flatMap(pairs));
}

export function subtract(from: Ranges, what: Ranges): Ranges {
  const result: number[] = [];
  const holes = pairs(what);
  for (const [low, high] of pairs(from)) {
    let at = low;
    for (const [start, end] of holes) {
      if (end < at || start > high) continue;
      if (start > at) result.push(at, start - 1);
      at = end + 1;
    }
    if (at <= high) result.push(at, high);
  }
  return result;
}

export function complement(ranges: Ranges): Ranges {
  return subtract(everything, ranges);
}

export function intersect(a: Ranges, b: Ranges): Ranges {
  return subtract(a, subtract(a, b));
}

export function countOf(ranges: Ranges): number {
  return pairs(ranges).reduce((sum, [low, high]) => sum + high - low + 1, 0);
}

/** Bounds of one byte of a sequence: [low, high]. */
export type ByteRange = readonly [number, number];

/** The byte sequences of the characters: each of one to four byte ranges, any byte of one with any of the others. */
export function utf8Sequences(ranges: Ranges): ByteRange[][] {
  return pairs(intersect(ranges, everything)).flatMap(([low, high]) => sameLength(low, high));
}

const lengthEnds = [0x7f, 0x7ff, 0xffff, 0x10ffff];

function sameLength(low: number, high: number): ByteRange[][] {
  const end = lengthEnds.find((last) => low <= last)!;
  if (high > end) return [...sameLength(low, end), ...sameLength(end + 1, high)];
  return aligned(low, high);
}

/** Splits until the last bytes run through all their values or the bytes before them are the same. */
function aligned(low: number, high: number): ByteRange[][] {
  for (let bytes = high <= 0x7f ? 4 : 1; bytes < 4; bytes++) {
    const mask = (1 << (6 * bytes)) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    if ((low & mask) !== 0) return [...aligned(low, low | mask), ...aligned((low | mask) + 1, high)];
    if ((high & mask) !== mask) return [...aligned(low, (high & ~mask) - 1), ...aligned(high & ~mask, high)];
  }
  const [first, last] = [utf8(low), utf8(high)];
  return [first.map((byte, i) => [byte, last[i]!] as const)];
}

function utf8(codePoint: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(codePoint))];
}
