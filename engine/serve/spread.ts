// Which of an engine's devices a model goes to, and how much of it each gets.
import { EngineError } from "../errors.ts";
import type { LoadOptions } from "./types.ts";

/** For loads that do not say it themselves. */
export interface Spread {
  /** Over how many devices, with a part of every layer on each; default: all. */
  tensorParallel?: number | undefined;
  /** Over how many devices, with some of the layers on each. */
  pipelineParallel?: number | undefined;
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
  options: Pick<LoadOptions, "devices" | "tensorParallel" | "pipelineParallel" | "weights">,
): Chosen[] {
  const { devices, tensorParallel, pipelineParallel, weights } = options;
  if (tensorParallel !== undefined && pipelineParallel !== undefined)
    throw refusal(
      "pipeline_parallel",
      `${pipelineParallel}, and tensor_parallel ${tensorParallel}: one or the other`,
    );
  const configured = spread.tensorParallel ?? spread.pipelineParallel;
  const count = tensorParallel ?? pipelineParallel ?? devices?.length ?? configured ?? indices.length;
  const param = pipelineParallel === undefined ? "tensor_parallel" : "pipeline_parallel";
  if (devices && devices.length !== count) {
    throw refusal(param, `${count}, and ${counted(devices.length)} named`);
  }
  if (count > indices.length) {
    throw refusal(param, `${count}, and this neuron has ${counted(indices.length)}`);
  }
  if (weights && weights.length !== count) {
    throw refusal("weights", `${weights.length} for ${counted(count)}`);
  }
  const places = devices ? named(indices, devices) : leastUsed(promised, count);
  return places.map((place, i) => ({ place, weight: weights?.[i] ?? spread.weights?.[place] ?? 1 }));
}

/** What somebody said of how; undefined: whatever is quicker. */
export function wayOf(
  spread: Spread,
  { tensorParallel, pipelineParallel }: Pick<LoadOptions, "tensorParallel" | "pipelineParallel">,
): "tensor" | "pipeline" | undefined {
  if (pipelineParallel !== undefined) return "pipeline";
  if (tensorParallel !== undefined || spread.tensorParallel !== undefined) return "tensor";
  return spread.pipelineParallel === undefined ? undefined : "pipeline";
}

/** Errors: bad_config. */
export function checkSpread({ tensorParallel, pipelineParallel, weights }: Spread, devices: number): void {
  const asked = { tensor_parallel: tensorParallel, pipeline_parallel: pipelineParallel };
  for (const [name, count] of Object.entries(asked))
    if (count !== undefined && count > devices)
      throw new EngineError("bad_config", `${name}: ${count}, and there are ${counted(devices)}`);
  if (tensorParallel !== undefined && pipelineParallel !== undefined)
    throw new EngineError("bad_config", "tensor_parallel and pipeline_parallel: one or the other");
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
