import { expect, test } from "vitest";
import { checkSpread, choosePlaces, wayOf, type Spread } from "./spread.ts";

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
    "as many as the settings divide layers over",
    [0, 1, 2],
    [1, 2, 0],
    { pipelineParallel: 2 },
    {},
    [
      [0, 1],
      [2, 1],
    ],
  ],
  [
    "as many as the load divides layers over, whatever the settings share",
    [0, 1, 2],
    [5, 3, 4],
    { tensorParallel: 1, weights: [3, 2, 4] },
    { pipelineParallel: 3 },
    [
      [0, 3],
      [1, 2],
      [2, 4],
    ],
  ],
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
  [{ pipelineParallel: 3 }, "pipeline_parallel", "3, and this neuron has 2 devices"],
  [{ devices: [1], pipelineParallel: 2 }, "pipeline_parallel", "2, and 1 device named"],
  [
    { tensorParallel: 1, pipelineParallel: 2 },
    "pipeline_parallel",
    "2, and tensor_parallel 1: one or the other",
  ],
])("%j is refused", (asked, param, text) => {
  const refused = { code: "bad_request", message: `${param}: ${text}`, details: { param } };
  expect(() => choosePlaces([0, 1], [0, 0], {}, asked)).toThrow(expect.objectContaining(refused) as Error);
});

test.each<[Spread, Asked, ReturnType<typeof wayOf>]>([
  [{}, {}, undefined],
  [{}, { devices: [0, 1] }, undefined],
  [{ tensorParallel: 2 }, {}, "tensor"],
  [{ pipelineParallel: 2 }, {}, "pipeline"],
  [{ pipelineParallel: 2 }, { tensorParallel: 2 }, "tensor"],
  [{ tensorParallel: 2 }, { pipelineParallel: 2 }, "pipeline"],
  [{}, { tensorParallel: 2 }, "tensor"],
  [{}, { pipelineParallel: 2 }, "pipeline"],
])("of settings %j and a load %j the way is %s", (spread, asked, way) => {
  expect(wayOf(spread, asked)).toBe(way);
});

test("settings must fit the devices", () => {
  expect(() => checkSpread({ pipelineParallel: 4 }, 3)).toThrow(
    "pipeline_parallel: 4, and there are 3 devices",
  );
  const both = { tensorParallel: 2, pipelineParallel: 2 };
  expect(() => checkSpread(both, 2)).toThrow("tensor_parallel and pipeline_parallel: one or the other");
  expect(() => checkSpread({ pipelineParallel: 2, weights: [1, 2] }, 2)).not.toThrow();
  expect(() => checkSpread({ tensorParallel: 2 }, 1)).toThrow("tensor_parallel: 2, and there are 1 device");
  expect(() => checkSpread({ weights: [1, 2] }, 3)).toThrow("weights: 2 for 3 devices");
  expect(() => checkSpread({ tensorParallel: 2, weights: [1, 2] }, 2)).not.toThrow();
});
