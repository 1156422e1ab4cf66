import { expect, test } from "vitest";
import { caseNames, loadGolden, referenceFolders } from "../../test-fixtures/golden.ts";
import { imageSpans, mropePositions } from "./mrope.ts";

const cases = referenceFolders().flatMap((folder) =>
  caseNames(folder)
    .map((name) => ({ folder, name, ...loadGolden(folder, name) }))
    .filter(({ tensors }) => tensors.has("rope_delta")),
);

/** The picture tokens are those that the reference marks. */
function spansOf({ inputs, tensors }: (typeof cases)[number]) {
  const types = tensors.get("mm_token_type_ids")!.data as number[];
  const token = inputs.input_ids[types.indexOf(1)]!;
  return imageSpans(inputs.input_ids, token, inputs["image_grid_thw"] as number[][], 2);
}

test.runIf(cases.length > 0).each(cases)("$folder $name", (one) => {
  const spans = spansOf(one);
  const { positions, delta } = mropePositions(one.inputs.input_ids.length, spans);
  expect([...positions]).toEqual(one.tensors.get("position_ids")!.data);
  expect([delta]).toEqual(one.tensors.get("rope_delta")!.data);
  // Known bad: rows and columns swapped, and a counter that goes on by the number of tokens.
  const swapped = spans.map(({ at, rows, columns }) => ({ at, rows: columns, columns: rows }));
  const other = mropePositions(one.inputs.input_ids.length, swapped);
  const square = spans.every(({ rows, columns }) => rows === columns);
  if (!square) expect([...other.positions]).not.toEqual(one.tensors.get("position_ids")!.data);
});

test("tokens behind others go on from their positions", () => {
  const span = { rows: 2, columns: 4 };
  const whole = mropePositions(20, [
    { at: 3, ...span },
    { at: 12, ...span },
  ]);
  const first = mropePositions(11, [{ at: 3, ...span }]);
  const second = mropePositions(9, [{ at: 1, ...span }], 11 + first.delta);
  const axes = [0, 1, 2].flatMap((axis) => [
    ...first.positions.subarray(axis * 11, axis * 11 + 11),
    ...second.positions.subarray(axis * 9, axis * 9 + 9),
  ]);
  expect(axes).toEqual([...whole.positions]);
  expect(first.delta + second.delta).toBe(whole.delta);
});

test("text alone: equal axes, nothing to add", () => {
  const { positions, delta } = mropePositions(4, []);
  expect([...positions]).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
  expect(delta).toBe(0);
});

test("two pictures, one right behind the other, the first at the start, the last at the end", () => {
  const { positions, delta } = mropePositions(9, [
    { at: 0, rows: 2, columns: 3 },
    { at: 6, rows: 3, columns: 1 },
  ]);
  expect([...positions.subarray(0, 9)]).toEqual([0, 0, 0, 0, 0, 0, 3, 3, 3]);
  expect([...positions.subarray(9, 18)]).toEqual([0, 0, 0, 1, 1, 1, 3, 4, 5]);
  expect([...positions.subarray(18)]).toEqual([0, 1, 2, 0, 1, 2, 3, 3, 3]);
  expect(delta).toBe(6 - 9);
});

test("no position reaches the number of tokens before it", () => {
  for (const [rows, columns] of [
    [1, 40],
    [40, 1],
    [7, 9],
  ] as const) {
    const length = rows * columns + 5;
    const { positions } = mropePositions(length, [{ at: 3, rows, columns }]);
    for (let i = 0; i < 3 * length; i += 1) expect(positions[i]).toBeLessThanOrEqual(i % length);
  }
});

test("grids and tokens must agree", () => {
  const ids = [1, 9, 9, 9, 9, 2, 9, 9, 3];
  expect(
    imageSpans(
      ids,
      9,
      [
        [1, 4, 4],
        [1, 2, 4],
      ],
      2,
    ),
  ).toEqual([
    { at: 1, rows: 2, columns: 2 },
    { at: 6, rows: 1, columns: 2 },
  ]);
  expect(() =>
    imageSpans(
      ids,
      9,
      [
        [1, 4, 6],
        [1, 2, 4],
      ],
      2,
    ),
  ).toThrow("picture 1: its 6 tokens are not in the prompt");
  expect(() =>
    imageSpans(
      ids,
      9,
      [
        [1, 4, 4],
        [1, 4, 4],
      ],
      2,
    ),
  ).toThrow("picture 2: its 4 tokens");
  expect(() =>
    imageSpans(
      ids,
      9,
      [
        [1, 4, 4],
        [1, 2, 4],
        [1, 2, 2],
      ],
      2,
    ),
  ).toThrow("picture 3");
  expect(() => imageSpans(ids, 9, [[1, 4, 4]], 2)).toThrow("beyond its 1 pictures");
});
