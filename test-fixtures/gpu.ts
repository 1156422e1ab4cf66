// For *.gpu.test.ts: one device per test process, and a comparison that names the worst element.
import { afterEach, expect } from "vitest";
import { openGpu } from "../engine/gpu/adapter.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";

let opened: Promise<Gpu> | undefined;
const errors: string[] = [];

/**
 * The device of this test process, opened on NEURON_TEST_ADAPTER (any adapter where it is unset). `shaderChecks`, or for
 * all NEURON_TEST_SHADER_CHECKS=0: without checks in shaders, as cards are, so that what a kernel reads or writes beyond an
 * array is what lies there. The first who asks decides.
 */
export function testGpu(
  shaderChecks = process.env["NEURON_TEST_SHADER_CHECKS"] !== "0",
): Promise<Gpu> {
  opened ??= open(shaderChecks);
  return opened;
}

async function open(shaderChecks: boolean): Promise<Gpu> {
  const adapter = process.env["NEURON_TEST_ADAPTER"];
  const gpu = await openGpu({ adapter, shaderChecks }, () => undefined);
  gpu.device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
  return gpu;
}

// A validation error that nobody awaits would leave zeros in a buffer and a test which compares zeros.
afterEach(() => {
  expect(errors.splice(0), "uncaptured GPU errors").toEqual([]);
});

/** Every |actual − expected| ≤ tolerance · max(1, |expected|); the message names the worst element. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  name = "value",
): void {
  expect(actual.length, `${name}: length`).toBe(expected.length);
  let worst = { error: 0, index: -1 };
  for (let i = 0; i < expected.length; i++) {
    const error = elementError(actual[i]!, expected[i]!);
    if (error > worst.error) worst = { error, index: i };
  }
  if (worst.error <= tolerance) return;
  const { error, index } = worst;
  expect.fail(
    `${name}[${index}] of ${expected.length}: got ${actual[index]}, want ${expected[index]}, ` +
      `error ${error.toExponential(3)} > ${tolerance}`,
  );
}

/** Absolute below 1, relative above; NaN and a wrong infinity are infinitely wrong. */
function elementError(got: number, want: number): number {
  if (got === want) return 0;
  const error = Math.abs(got - want) / Math.max(1, Math.abs(want));
  return Number.isNaN(error) ? Infinity : error;
}
