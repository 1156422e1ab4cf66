import { expect, test } from "vitest";
import {
  charsOf,
  complement,
  countOf,
  everything,
  intersect,
  subtract,
  toRanges,
  union,
  utf8Sequences,
} from "./ranges.ts";
import { nextUtf8 } from "./utf8.ts";
import { generator } from "./walk.fixture.ts";

const random = generator(3);
const someRanges = () =>
  toRanges(
    Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
      const low = Math.floor(random() ** 3 * 0x10ffff);
      return [low, Math.min(0x10ffff, low + Math.floor(random() ** 4 * 0x2000))] as const;
    }),
  );
const has = (ranges: readonly number[], point: number) =>
  Array.from({ length: ranges.length / 2 }, (_, i) => i).some(
    (i) => ranges[2 * i]! <= point && point <= ranges[2 * i + 1]!,
  );

test("sets of characters", () => {
  for (let n = 0; n < 300; n++) {
    const [a, b] = [someRanges(), someRanges()];
    const points = [...a, ...b, ...a.map((p) => p + 1), ...b.map((p) => p - 1)].filter(
      (p) => p >= 0 && p <= 0x10ffff && (p < 0xd800 || p > 0xdfff),
    );
    for (const point of points) {
      const [inA, inB] = [has(a, point), has(b, point)];
      expect(has(union(a, b), point)).toBe(inA || inB);
      expect(has(subtract(a, b), point)).toBe(inA && !inB);
      expect(has(intersect(a, b), point)).toBe(inA && inB);
      expect(has(complement(a), point)).toBe(!inA);
    }
  }
  expect(countOf(everything)).toBe(0x110000 - 0x800);
  expect(charsOf("cab🙂")).toEqual([97, 99, 0x1f642, 0x1f642]);
});

/** A byte sequence of the set: by the sequences. */
function isOf(sequences: ReturnType<typeof utf8Sequences>, bytes: Uint8Array): boolean {
  return sequences.some(
    (sequence) =>
      sequence.length === bytes.length &&
      sequence.every(([low, high], i) => low <= bytes[i]! && bytes[i]! <= high),
  );
}

test("characters as bytes: those of the set, each once, and no others", () => {
  for (let n = 0; n < 200; n++) {
    const ranges = someRanges();
    const sequences = utf8Sequences(ranges);
    const edges = [...ranges, ...ranges.map((p) => p + 1), ...ranges.map((p) => p - 1)];
    const others = Array.from({ length: 30 }, () => Math.floor(random() * 0x110000));
    for (const point of [...edges, ...others]) {
      if (point < 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) continue;
      const bytes = new TextEncoder().encode(String.fromCodePoint(point));
      expect(isOf(sequences, bytes), `${point} of ${ranges.join()}`).toBe(has(ranges, point));
    }
    const count = sequences.reduce(
      (sum, each) => sum + each.reduce((n, [low, high]) => n * (high - low + 1), 1),
      0,
    );
    expect(count).toBe(countOf(intersect(ranges, everything)));
  }
});

test("UTF-8 is followed as the runtime reads it", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const interesting = [
    0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1,
    0xf4, 0xf5,
  ];
  for (let n = 0; n < 20_000; n++) {
    const bytes = Uint8Array.from({ length: 1 + Math.floor(random() * 5) }, () =>
      random() < 0.1 ? Math.floor(random() * 256) : interesting[Math.floor(random() * interesting.length)]!,
    );
    const state = bytes.reduce((at, byte) => (at < 0 ? at : nextUtf8(at, byte)), 0);
    let good = true;
    try {
      decoder.decode(bytes);
    } catch {
      good = false;
    }
    expect(state === 0, [...bytes].map((b) => b.toString(16)).join(" ")).toBe(good);
  }
});
