import { expect, test } from "vitest";
import { Held } from "./held.ts";

const token = (row: number, slot = 0, change = {}) => ({
  id: undefined,
  row,
  slot,
  position: row - 3,
  ...change,
});

test("what comes by itself is the same sequences, each one token further", () => {
  const held = new Held(4);
  expect(held.precedes([token(7)])).toBe(false);
  held.note([token(6), token(9, 2)]);
  expect(held.precedes([token(7), token(10, 2)])).toBe(true);
  for (const other of [
    [token(7)],
    [token(7), token(10, 2), token(0, 1)],
    [token(10, 2), token(7)],
    [token(6), token(9, 2)],
    [token(8), token(10, 2)],
    [token(7), token(10, 1)],
    [token(7), token(10, 2, { id: 5 })],
    [token(7), token(10, 2, { position: 8 })],
  ])
    expect(held.precedes(other), JSON.stringify(other)).toBe(false);
  held.note([token(7), token(10, 2)]);
  expect(held.precedes([token(8), token(11, 2)])).toBe(true);
  held.forget();
  expect(held.precedes([token(8), token(11, 2)])).toBe(false);
});

test("an id that the host names comes again only where it is the same", () => {
  const held = new Held(1);
  held.note([token(6, 0, { id: 5 })]);
  expect(held.precedes([token(7, 0, { id: 5 })])).toBe(true);
  expect(held.precedes([token(7)])).toBe(false);
});
