import { expect, test } from "vitest";
import { Restarts } from "./restarts.ts";

const limits = { delaysMs: [0, 30, 700], windowMs: 10_000 };

/** The pauses after failures at these times, ms. */
function pauses(...times: number[]): (number | undefined)[] {
  const restarts = new Restarts(limits);
  return times.map((now) => restarts.failed(now));
}

test("at once, then with growing pauses, then no more", () => {
  expect(pauses(5, 6, 7, 8)).toEqual([0, 30, 700, undefined]);
});

test("a failure is forgotten after its time", () => {
  expect(pauses(0, 9_999)).toEqual([0, 30]);
  expect(pauses(0, 10_000)).toEqual([0, 0]);
  expect(pauses(0, 6_000, 9_000, 12_000)).toEqual([0, 30, 700, 700]);
});

test("who asks gets another try", () => {
  const restarts = new Restarts({ delaysMs: [0], windowMs: 10_000 });
  expect([restarts.failed(1), restarts.failed(2)]).toEqual([0, undefined]);
  restarts.forget();
  expect(restarts.failed(3)).toBe(0);
});
