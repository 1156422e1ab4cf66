import { expect, test } from "vitest";
import { argmax, argmaxAgreement, difference, greedyAgreement } from "./compare.ts";

test("figures of a known difference", () => {
  const found = difference(Float32Array.of(1, 2, 5), Float32Array.of(1, 3, 2));
  expect(found).toMatchObject({ maxAbs: 3, worst: 2 });
  expect(found.meanAbs).toBeCloseTo(4 / 3, 12);
  expect(found.cosine).toBeCloseTo(17 / Math.sqrt(30 * 14), 12);
  expect(found.relativeRms).toBeCloseTo(Math.sqrt(10 / 3) / Math.sqrt(14 / 3 - 4), 12);
});

test.each([NaN, Infinity, -Infinity])("%s passes no bound", (value) => {
  const found = difference(Float32Array.of(1, value), Float32Array.of(1, 2));
  expect(found.maxAbs <= 1e9).toBe(false);
  expect(found.relativeRms <= 1e9).toBe(false);
});

test("lengths must agree", () => {
  expect(() => difference(new Float32Array(2), new Float32Array(3))).toThrow("2 values against 3");
});

test("argmax: the lowest index wins ties", () => {
  expect(argmax(Float32Array.of(1, 7, 7, 0))).toBe(1);
  expect(argmaxAgreement(Float32Array.of(1, 2, 4, 3, 0, 9), Float32Array.of(0, 1, 0, 1, 5, 6), 2)).toBe(2);
});

test("greedy agreement gives the reference's preference at the first difference", () => {
  const logits = Float32Array.of(0, 5, 1, /**/ 2, 1, 4.5, /**/ 9, 0, 0);
  expect(greedyAgreement([1, 2, 0], [1, 2, 0], logits)).toEqual({ agreed: 3, total: 3, gap: undefined });
  expect(greedyAgreement([1, 0, 0], [1, 2, 0], logits)).toEqual({ agreed: 1, total: 3, gap: 2.5 });
  expect(greedyAgreement([1], [1, 2, 0], logits)).toEqual({ agreed: 1, total: 3, gap: Infinity });
});
