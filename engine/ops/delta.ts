// The gated delta net between its two projections: causal convolution, delta rule, gated norm. One token takes one
// dispatch; a few go through the same kernel one after another; many go by chunks of 32, all of a chunk's tokens at once.
import type { Pass } from "../gpu/pass.ts";
import { decodes, sequencesOf, stepPart } from "../gpu/step.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { deltaChunks, deltaScan, gatedNorm } from "./delta-chunk.ts";
import { isSoftware } from "./variants.ts";
import { deltaStateBytes, deltaWidths, headRun, type DeltaConfig, type DeltaState } from "./delta-state.ts";

export { deltaChunks, deltaScan, gatedNorm } from "./delta-chunk.ts";
export { deltaWays, type DeltaVariant } from "./delta-ways.ts";
export * from "./delta-state.ts";

/** Small weights of a layer, f32. */
export interface DeltaWeights {
  /** [C, 4], newest column last. */
  readonly convWeight: Tensor;
  /** [Nv] */
  readonly A_log: Tensor;
  /** [Nv] */
  readonly dt_bias: Tensor;
  /** [Dv], multiplies as it is (not 1 + w). */
  readonly norm: Tensor;
  readonly eps: number;
}

/** Runs up to this long go token by token: there a chunk costs as much as its tokens (bench/LOG.md). */
export const serialTokens = 2;

/**
 * S ← e^g·S;  S ← S + k (β(v − Sᵀk))ᵀ;  y = rmsNorm(Sᵀq) · norm · silu(z), where q, k, v = silu(conv(u)).
 * u: [T, C + Nv·Dv + 2·Nv] = q|k|v | z | b | a   y: [T, Nv·Dv].   `state` moves on by the run's tokens.
 */
export function deltaRule(
  pass: Pass,
  u: Tensor,
  weights: DeltaWeights,
  config: DeltaConfig,
  state: DeltaState,
): Tensor {
  const { channels, row } = deltaWidths(config);
  const { valueDim, valueHeads } = config;
  expectShape(u, [pass.capacity, row]);
  expectShape(weights.convWeight, [channels, 4]);
  for (const w of [weights.A_log, weights.dt_bias]) expectShape(w, [valueHeads]);
  expectShape(weights.norm, [valueDim]);
  expectShape(state.memory, [dims(state.memory, 2)[0], deltaStateBytes(config) / 4]);
  if (decodes(pass)) return deltaStep(pass, u, undefined, weights, config, state);
  const qkv = causalConv(pass, u, weights.convWeight, state);
  if (pass.capacity <= serialTokens) return deltaStep(pass, u, qkv, weights, config, state);
  const chunks = deltaChunks(pass, qkv, u, weights, config);
  const o = deltaScan(pass, qkv, chunks, config, state);
  return gatedNorm(pass, o, u, weights, config);
}

/** y[t,c] = silu(Σ_j weight[c,j] · x[t−3+j,c]) over u's first C columns, the carried window before them. y: [T, C] */
export function causalConv(pass: Pass, u: Tensor, weight: Tensor, { memory }: DeltaState): Tensor {
  const [T, stride] = dims(u, 2);
  const [C] = dims(weight, 2);
  expectShape(weight, [C, 4]);
  const y = pass.scratch([T, C], "conv");
  const tile = 16;
  pass.dispatch("conv_causal", [u, weight, memory, y, pass.step], {
    parts: [stepPart(pass), "delta_gates", "conv"],
    constants: { C, STATE: dims(memory, 2)[1] / 4, STRIDE: stride, TILE: tile },
    groups: [Math.ceil(C / 4 / 64), (tokens) => Math.ceil(tokens / tile)],
    flops: (tokens) => tokens * C * 12,
  });
  return y;
}

/**
 * The rule token by token with the gated norm, in one dispatch. Without `qkv` (one token of a sequence only) the convolution is
 * part of it; with qkv [T, C], made by causalConv, any number of tokens.   y: [T, Nv·Dv]
 */
export function deltaStep(
  pass: Pass,
  u: Tensor,
  qkv: Tensor | undefined,
  { convWeight, A_log, dt_bias, norm, eps }: DeltaWeights,
  config: DeltaConfig,
  { memory }: DeltaState,
  rowLanes = isSoftware(pass.gpu) ? 1 : cardRowLanes(config),
): Tensor {
  if (!qkv && !decodes(pass)) throw new Error(`a fused convolution for ${pass.capacity} tokens`);
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const { channels, values, row } = deltaWidths(config);
  const y = pass.scratch([pass.capacity, values], "delta");
  const bindings = [u, qkv ?? convWeight, A_log, dt_bias, norm, memory, y, pass.step];
  pass.dispatch("delta_step", bindings, {
    parts: [stepPart(pass), "delta_gates", ...(qkv ? ["delta_conv_done"] : ["conv", "delta_conv_now"])],
    constants: {
      C: channels,
      STATE: dims(memory, 2)[1] / 4,
      STRIDE: row,
      KEY_HEADS: keyHeads,
      VALUE_HEADS: valueHeads,
      RUN: headRun(config),
      DK: keyDim,
      DV: valueDim,
      SCALE: keyDim ** -0.5,
      EPS: eps,
      ROWS: rowLanes,
    },
    groups: [valueHeads, sequencesOf(pass)],
    flops: (tokens) => tokens * values * keyDim * 7,
  });
  return y;
}

/** Lanes which share a column of S on a card: as many as make 256 invocations; software gains nothing by them. */
export function cardRowLanes({ keyDim, valueDim }: DeltaConfig): number {
  return Math.min(Math.floor(1024 / valueDim), keyDim / 4);
}
