import { expect, test } from "vitest";
import { chooseSplit, type Figures } from "./choice.ts";

const figures = (given: Partial<Figures>): Figures => ({
  ...{ devices: 2, layers: 64, readMs: 38, sumMs: 0.07 },
  ...given,
});

test.each<[string, Partial<Figures>, "tensor" | "pipeline" | undefined]>([
  ["a large model and quick sums", {}, "tensor"],
  ["the same, and sums that take longer than what they save", { sumMs: 0.2 }, "pipeline"],
  [
    "a small model: even quick sums cost more than half of its reading",
    { readMs: 1.1, layers: 28 },
    "pipeline",
  ],
  ["four devices save more", { devices: 4, readMs: 20, sumMs: 0.11 }, "tensor"],
  ["where two would not", { devices: 2, readMs: 20, sumMs: 0.11 }, "pipeline"],
  ["heads that cannot be dealt", { not: { tensor: "num_key_value_heads: 2" } }, "pipeline"],
  ["layers that do not fit", { sumMs: 9, not: { pipeline: "2 layers" } }, "tensor"],
  ["neither", { not: { tensor: "heads", pipeline: "layers" } }, undefined],
])("%s", (_, given, by) => {
  expect(chooseSplit(figures(given))?.by).toBe(by);
});

test("it is told why", () => {
  expect(chooseSplit(figures({}))?.why).toBe(
    "every layer is shared: a sum over 2 devices takes 0.07 ms, reading the model 38 ms; " +
      "a token about 28 ms with 130 meetings, 38 ms with 2 handovers",
  );
  expect(chooseSplit(figures({ not: { tensor: "heads: 3" } }))?.why).toBe("layers are divided: heads: 3");
  expect(chooseSplit(figures({ not: { pipeline: "2 layers" } }))?.why).toBe(
    "every layer is shared: 2 layers",
  );
});
