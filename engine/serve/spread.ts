// Which of an engine's devices a model goes to, and how much of it each gets.
import { EngineError } from "../errors.ts";
import type { LoadOptions } from "./types.ts";

/** For loads that do not say it themselves. */
export interface Spread {
  /** Over how many devices; default: all. */
  tensorParallel?: number | undefined;
  /** Of each of the engine's devices; default: all the same. */
  weights?: readonly number[] | undefined;
}

/** One of the engine's devices, by its place among them. */
export interface Chosen {
  place: number;
  weight: number;
}

/**
 * `indices`: of the engine's devices, by their places; one may be there twice. `promised`: bytes that each has promised
 * to models, of which those with the least are chosen where nobody names any.
 * Errors: bad_request with the parameter's name.
 */
export function choosePlaces(
  indices: readonly number[],
  promised: readonly number[],
  spread: Spread,
  { devices, tensorParallel, weights }: Pick<LoadOptions, "devices" | "tensorParallel" | "weights">,
): Chosen[] {
  const count = tensorParallel ?? devices?.length ?? spread.tensorParallel ?? indices.length;
  if (devices && devices.length !== count) {
    throw refusal("tensor_parallel", `${count}, and ${counted(devices.length)} named`);
  }
  if (count > indices.length) {
    throw refusal("tensor_parallel", `${count}, and this neuron has ${counted(indices.length)}`);
  }
  if (weights && weights.length !== count) {
    throw refusal("weights", `${weights.length} for ${counted(count)}`);
  }
  const places = devices ? named(indices, devices) : leastUsed(promised, count);
  return places.map((place, i) => ({ place, weight: weights?.[i] ?? spread.weights?.[place] ?? 1 }));
}

/** Errors: bad_config. */
export function checkSpread({ tensorParallel, weights }: Spread, devices: number): void {
  if (tensorParallel !== undefined && tensorParallel > devices)
    throw new EngineError(
      "bad_config",
      `tensor_parallel: ${tensorParallel}, and there are ${counted(devices)}`,
    );
  if (weights && weights.length !== devices)
    throw new EngineError("bad_config", `weights: ${weights.length} for ${counted(devices)}`);
}

/** Each name takes a place of its own. */
function named(indices: readonly number[], devices: readonly number[]): number[] {
  const free = new Set(indices.keys());
  return devices.map((device, i) => {
    const place = [...free].find((one) => indices[one] === device);
    if (place === undefined) {
      const has = `this neuron has ${indices.length === 1 ? "device" : "devices"} ${indices.join(", ")}`;
      throw refusal(`devices.${i}`, `${has}, not ${devices.join(", ")}`);
    }
    free.delete(place);
    return place;
  });
}

function leastUsed(promised: readonly number[], count: number): number[] {
  const order = [...promised.keys()].sort((a, b) => promised[a]! - promised[b]! || a - b);
  return order.slice(0, count).sort((a, b) => a - b);
}

function counted(devices: number): string {
  return devices === 1 ? "1 device" : `${devices} devices`;
}

function refusal(param: string, text: string): EngineError {
  return new EngineError("bad_request", `${param}: ${text}`, { param });
}
