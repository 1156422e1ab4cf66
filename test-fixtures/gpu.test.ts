import { describe, expect, test } from "vitest";
import { expectClose } from "./gpu.ts";

describe("expectClose", () => {
  test.each([
    ["equal", [1, -2, 3], [1, -2, 3], 0],
    ["within the absolute tolerance below 1", [0.1 + 1e-7], [0.1], 1e-6],
    ["within the relative tolerance above 1", [1000.5], [1000], 1e-3],
    ["the same infinity", [Infinity, -Infinity], [Infinity, -Infinity], 0],
    ["nothing", [], [], 0],
  ])("accepts %s", (_, got, want, tolerance) => {
    expectClose(got, want, tolerance);
  });

  test.each([
    ["beyond the tolerance, naming the worst", [1, 5, 3, 4.5], [1, 2, 3, 4], 1e-3, /y\[1\] of 4: got 5, want 2/],
    ["NaN", [1, NaN], [1, 2], 1e9, /y\[1\] of 2: got NaN, want 2/],
    ["a NaN that was wanted", [NaN], [NaN], 1e9, /y\[0\] of 1: got NaN, want NaN/],
    ["the wrong infinity", [-Infinity], [Infinity], 1e9, /got -Infinity, want Infinity/],
    ["a missing element", [1], [1, 2], 1, /y: length/],
    ["a surplus element", [1, 2], [1], 1, /y: length/],
    ["a small value by its absolute error", [0.5], [0.25], 0.1, /error 2\.500e-1/],
  ])("refuses %s", (_, got, want, tolerance, message) => {
    expect(() => expectClose(got, want, tolerance, "y")).toThrow(message);
  });
});
