import { expect, test } from "vitest";
import { fitted, table } from "./table.ts";

test("columns are as wide as their widest cell; an empty one is a dash", () => {
  expect(table(["A", "LONG"], [["wide", ""]])).toEqual(["A     LONG", "wide  -"]);
});

test.each([
  [{ columns: 4, rows: 3 }, "abc\nde"],
  [{ columns: 40, rows: 9 }, "abcd\nde\nf"],
  [{ columns: 40, rows: 2 }, "abcd"],
])("%j", (terminal, want) => expect(fitted("abcd\nde\nf", terminal)).toBe(want));
