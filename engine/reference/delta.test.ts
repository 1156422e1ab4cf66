// The delta net's twin: its two forms agree, and a mistake in either would show.
import { describe, expect, test } from "vitest";
import { deltaInputs } from "../../test-fixtures/delta.ts";
import { mistakes, mistakenRule } from "../../test-fixtures/delta-mistakes.ts";
import { expectClose } from "../../test-fixtures/gpu.ts";
import * as reference from "./delta.ts";

const config = { keyHeads: 2, valueHeads: 6, keyDim: 8, valueDim: 12, conv: 4 };

function run(T: number, rule: Parameters<typeof reference.deltaRule>[4]) {
  const { u, weights } = deltaInputs(config, T, 21);
  const state = reference.deltaTwinState(config);
  return { ...reference.deltaRule(u, weights, config, state, rule), state };
}

describe.each([1, 31, 32, 70])("%d tokens", (T) => {
  test.each([5, 32, 64])("chunks of %d give what the recurrence gives", (chunk) => {
    const want = run(T, reference.recurrentRule);
    const got = run(T, (head, S) => reference.chunkedRule(head, S, chunk));
    expectClose(got.y, want.y, 1e-11, "y");
    expectClose(got.state.S, want.state.S, 1e-12, "S");
  });
});

test("a sequence in pieces gives what it gives whole", () => {
  const { u, weights } = deltaInputs(config, 11, 22);
  const row = u.length / 11;
  const whole = reference.deltaTwinState(config);
  const { y } = reference.deltaRule(u, weights, config, whole);
  const state = reference.deltaTwinState(config);
  const pieces = [u.subarray(0, row), u.subarray(row, 3 * row), u.subarray(3 * row)];
  const parts = pieces.flatMap((piece) => [...reference.deltaRule(piece, weights, config, state).y]);
  expectClose(parts, y, 0, "y");
  expectClose(state.S, whole.S, 0, "S");
  expectClose(state.window, whole.window, 0, "window");
});

test("the rule without a mistake is the reference's", () => {
  expectClose(run(40, mistakenRule()).y, run(40, reference.recurrentRule).y, 1e-12);
});

test.each(mistakes)("a rule with %s differs", (mistake) => {
  expect(() =>
    expectClose(run(40, mistakenRule(mistake)).y, run(40, reference.recurrentRule).y, 1e-2),
  ).toThrow();
});
