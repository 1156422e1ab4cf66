import { describe, expect, test } from "vitest";
import type { NumberSet } from "./grammar.ts";
import { isEmptySet, isIn, mayContinue, placesOf, toUnits } from "./numbers.ts";

const set = (places: number, digits: number, min?: bigint, max?: bigint, step = 1n): NumberSet => ({
  ...{ places, digits, min, max, step },
});

const sets: [string, NumberSet][] = [
  ["whole", set(0, 3)],
  ["from 7 to 213", set(0, 3, 7n, 213n)],
  ["from -19 to 4", set(0, 3, -19n, 4n)],
  ["below zero", set(0, 2, undefined, -3n)],
  ["multiples of 7", set(0, 3, -30n, undefined, 7n)],
  ["1.5 to 2.25", set(2, 1, 150n, 225n)],
  ["above 0", set(2, 1, 1n)],
  ["quarters from -1.5", set(2, 1, -150n, 300n, 25n)],
  ["only 0", set(1, 2, 0n, 0n)],
  ["only 12.3", set(1, 2, 123n, 123n)],
];

/** Every way to write a number with so many digits. */
function* writings({ places, digits }: NumberSet): Generator<string> {
  const wholes = ["0"];
  for (let n = 1; n < 10 ** digits; n++) wholes.push(String(n));
  for (const sign of ["", "-"])
    for (const whole of wholes) {
      yield sign + whole;
      for (let length = 1; length <= places; length++)
        for (let n = 0; n < 10 ** length; n++) yield `${sign}${whole}.${String(n).padStart(length, "0")}`;
    }
}

/** By plain arithmetic on doubles, which are exact enough here. */
function belongs({ places, min, max, step }: NumberSet, text: string): boolean {
  const units = Math.round(Number(text) * 10 ** places);
  if (Object.is(Number(text), -0)) return false;
  return units >= Number(min ?? -1e9) && units <= Number(max ?? 1e9) && units % Number(step) === 0;
}

describe.each(sets)("%s", (_, numbers) => {
  const all = [...writings(numbers)];
  const inside = all.filter((text) => belongs(numbers, text));

  test("what belongs to it", () => {
    expect(inside.length).toBeGreaterThan(0);
    for (const text of all) expect(isIn(numbers, text), text).toBe(belongs(numbers, text));
  });

  test("a beginning may go on exactly where some number begins so", () => {
    const beginnings = new Set(inside.flatMap((text) => Array.from(text, (_c, i) => text.slice(0, i + 1))));
    for (const beginning of ["", ...beginnings])
      for (const next of "-.0123456789e ")
        if (mayContinue(numbers, beginning, next) !== beginnings.has(beginning + next))
          expect([beginning, next, "may go on"]).toEqual([beginning, next, beginnings.has(beginning + next)]);
  });
});

test.each([
  [set(0, 5, 8n, 6n), true],
  [set(0, 2, 100n), true],
  [set(0, 5, 8n, 12n, 7n), true],
  [set(0, 5, 8n, 14n, 7n), false],
  [set(0, 5, -14n, -8n, 7n), false],
])("whether nothing is in it: %o", (numbers, empty) => {
  expect(isEmptySet(numbers)).toBe(empty);
});

test.each([
  [1.5, 3, 1500n, 1500n],
  [-2.25, 1, -22n, -23n],
  [2.25, 1, 23n, 22n],
  [1e21, 0, 10n ** 21n, 10n ** 21n],
  [1.5e-7, 6, 1n, 0n],
  [0, 4, 0n, 0n],
])("%d in units of 10^-%d", (value, places, up, down) => {
  expect([toUnits(value, places, "up"), toUnits(value, places, "down")]).toEqual([up, down]);
});

test.each([
  [1, 0],
  [0.25, 2],
  [1.5e-7, 8],
  [1e21, 0],
])("digits behind the point of %d", (value, places) => {
  expect(placesOf(value)).toBe(places);
});
