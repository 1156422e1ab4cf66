// The delta rule for many tokens: chunks of 32, first what all chunks can make at once, then the state carried
// from chunk to chunk, then the gated norm.
import type { Pass } from "../gpu/pass.ts";
import { stepPart } from "../gpu/step.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { deltaWidths, headRun, type DeltaConfig, type DeltaState } from "./delta-state.ts";
import { chooseVariant, chunkTokens, type DeltaMatrices, type DeltaVariant } from "./delta-ways.ts";
import { rowLanes } from "./variants.ts";

/** What delta_chunk makes; layouts in its header, and in delta_chunk_matrix's. */
export interface DeltaChunks {
  readonly inner: Tensor;
  readonly factors: Tensor;
  /** Operands of the device's matrices. */
  readonly halves?: Tensor;
}

/** The parts of each chunk that do not depend on the state.   qkv: [T, C]   u: [T, C + Nv·Dv + 2·Nv] */
export function deltaChunks(
  pass: Pass,
  qkv: Tensor,
  u: Tensor,
  { A_log, dt_bias }: { A_log: Tensor; dt_bias: Tensor },
  config: DeltaConfig,
  variant: DeltaVariant = chooseVariant(pass, config),
): DeltaChunks {
  const { valueHeads, keyDim } = config;
  const { channels, row } = deltaWidths(config);
  expectShape(qkv, [pass.capacity, channels]);
  if ("shape" in variant) return matrixChunks(pass, [qkv, u, A_log, dt_bias], config, variant);
  const chunks = Math.ceil(pass.capacity / chunkTokens);
  const inner = pass.scratch([chunks, valueHeads, 2 * chunkTokens, chunkTokens], "delta inner");
  const factors = pass.scratch([chunks, valueHeads, chunkTokens, 4], "delta factors");
  const lanes = "lanes" in variant;
  pass.dispatch(
    lanes ? "delta_chunk_lanes" : "delta_chunk",
    [qkv, u, A_log, dt_bias, inner, factors, pass.step],
    {
      parts: ["step", "delta_rows", "delta_gates", "delta_decays", ...(lanes ? [] : ["delta_invert"])],
      constants: {
        ...headConstants(config),
        ...(lanes ? laneConstants(variant.lanes) : {}),
        U_WIDTH: row,
        SCALE: keyDim ** -0.5,
      },
      groups: [valueHeads, (tokens) => Math.ceil(tokens / chunkTokens)],
      flops: (tokens) => tokens * valueHeads * chunkTokens * (4 * keyDim + chunkTokens),
    },
  );
  return { inner, factors };
}

/** Sᵀq of every token, [T, Nv·Dv]; the state moves on. */
export function deltaScan(
  pass: Pass,
  qkv: Tensor,
  made: DeltaChunks,
  config: DeltaConfig,
  state: DeltaState,
  variant: DeltaVariant = chooseVariant(pass, config),
): Tensor {
  if ("shape" in variant) return matrixScan(pass, qkv, made, config, state, variant);
  const { inner, factors } = made;
  const { memory } = state;
  const { valueHeads, keyDim, valueDim } = config;
  const { values } = deltaWidths(config);
  const o = pass.scratch([pass.capacity, values], "delta");
  const lanes = "lanes" in variant;
  const tile = 4 * (lanes ? variant.lanes : variant.quads);
  pass.dispatch(lanes ? "delta_scan_lanes" : "delta_scan", [qkv, inner, factors, memory, o, pass.step], {
    parts: [stepPart(pass), "delta_rows"],
    constants: {
      ...headConstants(config),
      STATE: dims(memory, 2)[1] / 4,
      ...(lanes ? laneConstants(variant.lanes) : { QUADS: variant.quads }),
    },
    groups: [Math.ceil(valueDim / tile), valueHeads],
    flops: (tokens) => tokens * values * (6 * keyDim + 2 * chunkTokens),
  });
  return o;
}

/** deltaChunks by the device's matrices.   inputs: qkv, u, A_log, dt_bias */
function matrixChunks(
  pass: Pass,
  inputs: readonly Tensor[],
  config: DeltaConfig,
  { shape, WIDTH }: DeltaMatrices,
): Required<DeltaChunks> {
  const { keyHeads, valueHeads, keyDim } = config;
  const chunks = Math.ceil(pass.capacity / chunkTokens);
  const inner = pass.scratch([chunks, valueHeads, chunkTokens, chunkTokens], "delta inner");
  const factors = pass.scratch([chunks, valueHeads, chunkTokens, 4], "delta factors");
  const words = (chunkTokens * (2 * keyHeads * keyDim + valueHeads * chunkTokens)) / 2;
  const halves = pass.scratch([chunks, words], "delta halves", "u32");
  pass.dispatch("delta_chunk_matrix", [...inputs, inner, factors, pass.step, halves], {
    parts: [
      ...["step", "delta_rows", "delta_gates", "delta_decays", "delta_invert", "delta_halves"],
      ...["halves/native", `matrix/${shape}`, "matrix/units"],
    ],
    constants: { ...headConstants(config), U_WIDTH: deltaWidths(config).row, SCALE: keyDim ** -0.5, WIDTH },
    groups: [valueHeads, (tokens) => Math.ceil(tokens / chunkTokens)],
    flops: (tokens) => tokens * valueHeads * chunkTokens * (4 * keyDim + chunkTokens),
  });
  return { inner, factors, halves };
}

/** deltaScan by the device's matrices. */
function matrixScan(
  pass: Pass,
  qkv: Tensor,
  { inner, factors, halves }: DeltaChunks,
  config: DeltaConfig,
  { memory }: DeltaState,
  { shape, columns, WIDTH }: DeltaMatrices,
): Tensor {
  const { valueHeads, keyDim, valueDim } = config;
  const { values } = deltaWidths(config);
  const o = pass.scratch([pass.capacity, values], "delta");
  pass.dispatch("delta_scan_matrix", [qkv, inner, factors, memory, o, pass.step, halves], {
    parts: [stepPart(pass), "delta_rows", "delta_halves", `matrix/${shape}`, "matrix/units", "matrix/stored"],
    constants: {
      ...headConstants(config),
      ...{ STATE: dims(memory, 2)[1] / 4, SCALE: keyDim ** -0.5, COLUMNS: columns, WIDTH },
    },
    groups: [valueDim / columns, valueHeads],
    flops: (tokens) => tokens * values * (6 * keyDim + 2 * chunkTokens),
  });
  return o;
}

/** y = o / rms(o) · norm · silu(z), head by head.   o, y: [T, Nv·Dv]   z: columns of u [T, C + Nv·Dv + 2·Nv] */
export function gatedNorm(
  pass: Pass,
  o: Tensor,
  u: Tensor,
  { norm, eps }: { norm: Tensor; eps: number },
  config: DeltaConfig,
): Tensor {
  const { channels, values, row } = deltaWidths(config);
  const [Dv] = dims(norm, 1);
  expectShape(o, [pass.capacity, values]);
  expectShape(u, [pass.capacity, row]);
  const y = pass.scratch([pass.capacity, values], "gated norm");
  const { LANES, reduce } = rowLanes(pass.gpu);
  pass.dispatch("gated_norm", [o, norm, u, y], {
    parts: [reduce, "delta_gates"],
    constants: { HEADS: values / Dv, QUADS: Dv / 4, STRIDE: row, OFFSET: channels, EPS: eps, LANES },
    groups: [values / Dv, (tokens) => tokens],
    flops: (tokens) => tokens * values * 8,
  });
  return y;
}

function headConstants(config: DeltaConfig): Record<string, number> {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const C = 2 * keyHeads * keyDim + valueHeads * valueDim;
  return { C, KEY_HEADS: keyHeads, VALUE_HEADS: valueHeads, RUN: headRun(config), DK: keyDim, DV: valueDim };
}

function laneConstants(lanes: number): Record<string, number> {
  return { LANES: lanes, SPAN: Math.min(lanes, 8) };
}
