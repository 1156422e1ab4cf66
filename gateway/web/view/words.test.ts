import { expect, test } from "vitest";
import * as words from "./words.ts";

test.each<[string, string]>([
  [words.seconds(4), "0.00 s"],
  [words.seconds(312), "0.31 s"],
  [words.seconds(12_340), "12.3 s"],
  [words.seconds(125_000), "2 min 5 s"],
  [words.memory(7), "7 MiB"],
  [words.memory(1536), "1.5 GiB"],
  [words.number(0), "0"],
  [words.number(0.00432), "0.0043"],
  [words.number(0.123), "0.12"],
  [words.number(1.256), "1.26"],
  [words.number(42.06), "42.1"],
  [words.number(1234.5), "1235"],
  [words.tokens(1), "1 token"],
  [words.tokens(0), "0 tokens"],
  [words.context(4096), "4k"],
  [words.context(1000), "1000"],
  [words.duration(59.9), "59 s"],
  [words.duration(7322), "2 h 2 min"],
  [words.duration(200_000), "2 d 7 h"],
])("%s", (got, want) => {
  expect(got).toBe(want);
});

test("the age of a conversation goes by days, not by hours", () => {
  const now = new Date(2026, 10, 20, 1).getTime();
  const hoursAgo = (hours: number) => words.age(now - hours * 3_600_000, now);
  expect([0.5, 2, 24, 26, 150, 170].map(hoursAgo)).toEqual([
    ...["Today", "Yesterday", "Yesterday", "Last seven days", "Last seven days", "Older"],
  ]);
});
