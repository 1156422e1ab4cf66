import { expect, test } from "vitest";
import { checkSpread, choosePlaces, type Spread } from "./spread.ts";

type Asked = Parameters<typeof choosePlaces>[3];

test.each<[string, number[], number[], Spread, Asked, [place: number, weight: number][]]>([
  [
    "all, where nobody says anything",
    [0, 1, 2],
    [0, 0, 0],
    {},
    {},
    [
      [0, 1],
      [1, 1],
      [2, 1],
    ],
  ],
  [
    "as many as the settings say, the least used",
    [0, 1, 2],
    [5, 3, 4],
    { tensorParallel: 2 },
    {},
    [
      [1, 1],
      [2, 1],
    ],
  ],
  ["as many as the load says", [0, 1, 2], [5, 3, 4], { tensorParallel: 3 }, { tensorParallel: 1 }, [[1, 1]]],
  [
    "those that are named, in that order",
    [4, 7, 9],
    [0, 0, 0],
    {},
    { devices: [9, 4] },
    [
      [2, 1],
      [0, 1],
    ],
  ],
  [
    "one that is there twice",
    [3, 3, 5],
    [0, 0, 0],
    {},
    { devices: [3, 5, 3] },
    [
      [0, 1],
      [2, 1],
      [1, 1],
    ],
  ],
  [
    "each with its own weight",
    [4, 7],
    [0, 0],
    { weights: [2, 1] },
    { devices: [7, 4] },
    [
      [1, 1],
      [0, 2],
    ],
  ],
  [
    "or what the load says",
    [4, 7],
    [0, 0],
    { weights: [2, 1] },
    { weights: [3, 5] },
    [
      [0, 3],
      [1, 5],
    ],
  ],
])("%s", (_, indices, promised, spread, asked, want) => {
  const places = choosePlaces(indices, promised, spread, asked).map(({ place, weight }) => [place, weight]);
  expect(places).toEqual(want);
});

test.each<[Asked, string, string]>([
  [{ tensorParallel: 3 }, "tensor_parallel", "3, and this neuron has 2 devices"],
  [{ devices: [0], tensorParallel: 2 }, "tensor_parallel", "2, and 1 device named"],
  [{ devices: [0, 2] }, "devices.1", "this neuron has devices 0, 1, not 0, 2"],
  [{ devices: [0, 0] }, "devices.1", "this neuron has devices 0, 1, not 0, 0"],
  [{ weights: [1, 2, 3] }, "weights", "3 for 2 devices"],
])("%j is refused", (asked, param, text) => {
  const refused = { code: "bad_request", message: `${param}: ${text}`, details: { param } };
  expect(() => choosePlaces([0, 1], [0, 0], {}, asked)).toThrow(expect.objectContaining(refused) as Error);
});

test("settings must fit the devices", () => {
  expect(() => checkSpread({ tensorParallel: 2 }, 1)).toThrow("tensor_parallel: 2, and there are 1 device");
  expect(() => checkSpread({ weights: [1, 2] }, 3)).toThrow("weights: 2 for 3 devices");
  expect(() => checkSpread({ tensorParallel: 2, weights: [1, 2] }, 2)).not.toThrow();
});
