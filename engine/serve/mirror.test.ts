import { expect, test } from "vitest";
import { Mirror } from "./mirror.ts";

const token = (row: number, slot = 0, change = {}) => ({
  id: undefined,
  row,
  slot,
  position: row - 3,
  ...change,
});

test("what comes by itself is the same sequences, each one token further", () => {
  const mirror = new Mirror(4);
  expect(mirror.precedes([token(7)])).toBe(false);
  mirror.note([token(6), token(9, 2)]);
  expect(mirror.precedes([token(7), token(10, 2)])).toBe(true);
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
    expect(mirror.precedes(other), JSON.stringify(other)).toBe(false);
  mirror.note([token(7), token(10, 2)]);
  expect(mirror.precedes([token(8), token(11, 2)])).toBe(true);
  mirror.forget();
  expect(mirror.precedes([token(8), token(11, 2)])).toBe(false);
});

test("an id that the host names comes again only where it is the same", () => {
  const mirror = new Mirror(1);
  mirror.note([token(6, 0, { id: 5 })]);
  expect(mirror.precedes([token(7, 0, { id: 5 })])).toBe(true);
  expect(mirror.precedes([token(7)])).toBe(false);
});
