// The delta rule for many tokens: chunks of 32, first what all chunks can make at once, then the state carried
// from chunk to chunk, then the gated norm.
import type { Pass } from "../gpu/plan.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { deltaWidths, type DeltaConfig, type DeltaState } from "./delta-state.ts";

const chunkTokens = 32;

/** What delta_chunk makes; layouts in its header. */
export interface DeltaChunks {
  readonly inner: Tensor;
  readonly factors: Tensor;
}

/** How work is dealt out: lanes that share a column, and groups of four columns to a tile. */
export interface DeltaTiling {
  readonly rows: number;
  readonly quads: number;
}

/** The parts of each chunk that do not depend on the state.   qkv: [T, C]   u: [T, C + Nv·Dv + 2·Nv] */
export function deltaChunks(
  pass: Pass,
  qkv: Tensor,
  u: Tensor,
  { A_log, dt_bias }: { A_log: Tensor; dt_bias: Tensor },
  config: DeltaConfig,
  { rows } = defaultTiling(pass, config),
): DeltaChunks {
  const { keyHeads, valueHeads, keyDim } = config;
  const { channels, row } = deltaWidths(config);
  const chunks = Math.ceil(pass.capacity / chunkTokens);
  const inner = pass.scratch([chunks, valueHeads, 2 * chunkTokens, chunkTokens], "delta inner");
  const factors = pass.scratch([chunks, valueHeads, chunkTokens, 4], "delta factors");
  pass.dispatch("delta_chunk", [qkv, u, A_log, dt_bias, inner, factors, pass.step], {
    parts: ["step", "delta_gates"],
    constants: {
      STRIDE: row,
      KEY_HEADS: keyHeads,
      VALUE_HEADS: valueHeads,
      DK: keyDim,
      C: channels,
      SCALE: keyDim ** -0.5,
      ROWS: rows,
    },
    groups: [valueHeads, (tokens) => Math.ceil(tokens / chunkTokens)],
    flops: (tokens) => tokens * valueHeads * chunkTokens * (4 * keyDim + chunkTokens),
  });
  return { inner, factors };
}

/** Sᵀq of every token, [T, Nv·Dv]; the state moves on. */
export function deltaScan(
  pass: Pass,
  qkv: Tensor,
  { inner, factors }: DeltaChunks,
  config: DeltaConfig,
  { S }: Pick<DeltaState, "S">,
  { rows, quads } = defaultTiling(pass, config),
): Tensor {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const { channels, values } = deltaWidths(config);
  const o = pass.scratch([pass.capacity, values], "delta");
  pass.dispatch("delta_scan", [qkv, inner, factors, S, o, pass.step], {
    parts: ["step"],
    constants: {
      VALUE_HEADS: valueHeads,
      KEY_HEADS: keyHeads,
      DK: keyDim,
      DV: valueDim,
      C: channels,
      QUADS: quads,
      ROWS: rows,
    },
    groups: [Math.ceil(valueDim / 4 / quads), valueHeads],
    flops: (tokens) => tokens * values * (6 * keyDim + 2 * chunkTokens),
  });
  return o;
}

/** y = o / rms(o) · norm · silu(z), head by head.   o, y: [T, values]   z: columns from `offset` on of u [T, stride] */
export function gatedNorm(
  pass: Pass,
  o: Tensor,
  u: Tensor,
  norm: Tensor,
  eps: number,
  { stride, offset, values }: { stride: number; offset: number; values: number },
): Tensor {
  const [Dv] = dims(norm, 1);
  expectShape(o, [pass.capacity, values]);
  expectShape(u, [pass.capacity, stride]);
  const y = pass.scratch([pass.capacity, values], "gated norm");
  const heads = values / Dv;
  pass.dispatch("gated_norm", [o, norm, u, y], {
    parts: ["delta_gates"],
    constants: { HEADS: heads, QUADS: Dv / 4, STRIDE: stride, OFFSET: offset, EPS: eps },
    groups: [heads, (tokens) => tokens],
    flops: (tokens) => tokens * values * 8,
  });
  return y;
}

/** Eight row lanes on a card and one in software; the widest tile whose state fits the workgroup's memory. */
function defaultTiling(pass: Pass, { keyDim, valueDim }: DeltaConfig): DeltaTiling {
  const software = pass.gpu.report.kind === "software";
  const bytesPerQuad = 16 * (keyDim + 2 * chunkTokens);
  const fits = (quads: number) => quads * bytesPerQuad <= pass.gpu.limits.maxComputeWorkgroupStorageSize;
  const wanted = Math.min(software ? 8 : 4, valueDim / 4);
  const quads = [wanted, 4, 2].find((n) => n <= wanted && fits(n)) ?? 1;
  return { rows: software ? 1 : 8, quads };
}
