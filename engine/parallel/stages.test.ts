import { expect, test } from "vitest";
import type { ModelConfig } from "../models/config.ts";
import { divideLayers, stagesOf } from "./stages.ts";

const mib = 2 ** 20;

test.each<[string, number[], number, number[], number[]]>([
  ["equal devices, equal layers", [1, 1, 1, 1, 1, 1], 0, [10, 10], [3, 3]],
  ["what is before and behind them counts", [1, 1, 1, 1, 1, 1], 2, [10, 10], [2, 4]],
  ["in proportion to what devices have", [1, 1, 1, 1, 1, 1, 1, 1, 1], 0, [20, 10], [6, 3]],
  ["layers of different sizes", [5, 1, 1, 1, 1, 1], 0, [9, 9], [1, 5]],
  ["three", [2, 2, 2, 2, 2, 2, 2], 3, [10, 18, 10], [1, 4, 2]],
  ["one layer at least, however small the device", [1, 1, 1], 0, [100, 100, 2], [1, 1, 1]],
  ["one device", [1, 2, 3], 4, [10], [3]],
])("layers by memory: %s", (_, layers, ends, budgets, expected) => {
  const spans = divideLayers({ layers, ends }, budgets);
  expect(spans.map(({ from, to }) => to - from)).toEqual(expected);
  expect(spans.map(({ from }) => from)).toEqual([0, ...spans.slice(0, -1).map(({ to }) => to)]);
});

test("no division of a hundred random ones is better than the one that was found", () => {
  let seed = 7;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % most;
  for (let round = 0; round < 100; round += 1) {
    const layers = Array.from({ length: 3 + random(5) }, () => 1 + random(9));
    const budgets = Array.from({ length: 3 }, () => 60 + random(90));
    const ends = random(20);
    const fullest = (cuts: readonly number[]) =>
      Math.max(
        ...cuts.slice(1).map((to, stage) => {
          const own = layers
            .slice(cuts[stage], to)
            .reduce((sum, bytes) => sum + bytes, stage === 0 ? ends : 0);
          return own / budgets[stage]!;
        }),
      );
    const found = divideLayers({ layers, ends }, budgets);
    const all: number[] = [];
    for (let a = 1; a < layers.length; a += 1)
      for (let b = a + 1; b < layers.length; b += 1) all.push(fullest([0, a, b, layers.length]));
    expect(fullest([0, ...found.map(({ to }) => to)])).toBe(Math.min(...all));
  }
});

test("what does not fit is told with the figures, and so are too many devices", () => {
  const layers = [4 * mib, 4 * mib, 4 * mib];
  expect(() => divideLayers({ layers, ends: mib }, [6 * mib, 6 * mib])).toThrow(
    "the layers do not fit; device 0: 1 layers, 5 MiB of 6 MiB; device 1: 2 layers, 8 MiB of 6 MiB",
  );
  expect(() => divideLayers({ layers: [1, 1], ends: 0 }, [9, 9, 9])).toThrow(
    "2 layers cannot be divided over 3",
  );
});

test("a stage is a model of its own layers, which keep their numbers", () => {
  const experts = { experts: 4, layers: [true, false, true] };
  const layerTypes = ["linear_attention", "full_attention", "linear_attention"];
  const config = {
    hidden: 8,
    layers: 3,
    layerTypes,
    experts,
    vision: { depth: 1 },
  } as unknown as ModelConfig;
  const spans = [
    { from: 0, to: 1 },
    { from: 1, to: 3 },
  ];
  const [first, second] = stagesOf(config, spans);
  expect(first).toMatchObject({ layers: 1, layerTypes: ["linear_attention"], vision: { depth: 1 } });
  expect(second).toMatchObject({
    ...{ hidden: 8, layers: 2, layerTypes: layerTypes.slice(1), vision: undefined },
    experts: { experts: 4, layers: [false, true] },
    stage: { number: 1, stages: 2, firstLayer: 1 },
  });
});
