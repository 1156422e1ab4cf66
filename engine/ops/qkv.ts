// From the packed projection to attention's inputs, in one dispatch: per-head norms, rope, and the run's keys and
// values written behind those already cached.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { stepPart } from "../gpu/step.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { checkHeads, packedWidth, type Heads } from "./attention.ts";
import { expectCache, slotPages, type KvCache, type KvFormat } from "./kv-cache.ts";
import { softwareLanes } from "./variants.ts";

export interface QkvOptions extends Heads {
  /** Query heads are [D query | D gate]; the gate halves are left for attention. */
  gate: boolean;
  /** [2·D], of query heads, then of key heads: x / sqrt(mean(x²) + eps) · (normOffset + w) per head, before rope. */
  norms?: Tensor;
  eps: number;
  normOffset: 0 | 1;
  rope: {
    /** (cos, sin), [positions, R/2, 2]; the host makes sure that every position is in it. */
    table: Tensor;
    /** R: dims 0 … R − 1 turn in pairs (i, i + R/2), the others pass. */
    dims: number;
    /** Interleaved M-RoPE: how many frequencies follow the t, h and w position. */
    sections?: readonly [t: number, h: number, w: number];
  };
  /** u32 [3, T]: t, h, w. Without sections only the first row counts. */
  positions: Tensor;
  cache: KvCache;
}

/** How heads are dealt out to the lanes of a workgroup. */
interface Deal {
  /** Heads of a workgroup. */
  ROWS: number;
  /** Lanes of a head. */
  LANES: number;
  sums: "reduce/heads_subgroup" | "reduce/heads_workgroup";
}

/** A processor computes a head by a subgroup, without a barrier. */
function dealOf(gpu: Gpu, { format }: KvCache): Deal {
  const width = writingLanes(gpu, format);
  return width === undefined
    ? { ROWS: 8, LANES: 16, sums: "reduce/heads_workgroup" }
    : { ROWS: 1, LANES: width, sums: "reduce/heads_subgroup" };
}

/**
 * The lanes of a subgroup that writes rows of a cache by itself, on a software adapter; undefined where none does: in q8_0 a
 * block of 32 is rounded by 8 lanes together.
 */
export function writingLanes(gpu: Gpu, format: KvFormat): number | undefined {
  const width = softwareLanes(gpu);
  return format === "q8_0" && width !== 8 ? undefined : width;
}

/**
 * qkv: [T, PACKED], q | k | v   → q: [T, Nh, D], normed and turned, not scaled.
 * Keys (normed and turned) and values go behind those that the tokens' sequences have in the cache.
 */
export function prepareQkv(pass: Pass, qkv: Tensor, options: QkvOptions): Tensor {
  const { heads, kvHeads, headDim: D, cache } = options;
  const q = pass.scratch([pass.capacity, heads, D]);
  const { ROWS, LANES, sums } = dealOf(pass.gpu, cache);
  const alone = sums === "reduce/heads_subgroup";
  const { bindings, parts, constants } = fromProjection(pass, qkv, q, options, alone);
  pass.dispatch("qkv_prepare", bindings, {
    parts: [...parts, sums],
    constants: { ...constants, ROWS, LANES },
    groups: [Math.ceil((heads + 2 * kvHeads) / ROWS), (tokens) => tokens],
    flops: (tokens) => 8 * tokens * (heads + 2 * kvHeads) * D,
  });
  return q;
}

/**
 * What kernels have in common that make queries, keys and values of the projection and write the cache.
 * `out`: what else they write   `alone`: whether rows are written by a subgroup (`writingLanes`)
 */
export function fromProjection(pass: Pass, qkv: Tensor, out: Tensor, options: QkvOptions, alone: boolean) {
  check(pass, qkv, options);
  const { heads, kvHeads, headDim: D, gate, norms, rope, positions, cache } = options;
  const [, h, w] = rope.sections ?? [0, 0, 0];
  return {
    bindings: [pass.step, qkv, positions, rope.table, out, cache.k, cache.v, norms, cache.table],
    parts: [
      ...[stepPart(pass), "kv_cache", `kv_read/${cache.format}`, ...writeParts(cache.format, alone)],
      ...["qkv_turn", norms ? "qkv_norm" : "qkv_plain"],
    ],
    constants: {
      ...{ HEADS: heads, KV_HEADS: kvHeads, D, SLOT_PAGES: slotPages(cache) },
      ...{ Q_STRIDE: gate ? 2 * D : D, PACKED: packedWidth(options, gate) },
      ...{ R: rope.dims, SECTION_H: h, SECTION_W: w },
      ...(norms ? { EPS: options.eps, NORM_OFFSET: options.normOffset } : {}),
    },
  };
}

function writeParts(format: KvFormat, alone: boolean): string[] {
  if (format !== "q8_0") return [`kv_write/${format}`];
  return ["kv_write/codes", alone ? "kv_write/q8_0_lanes" : "kv_write/q8_0"];
}

function check(pass: Pass, qkv: Tensor, options: QkvOptions): void {
  checkHeads(options);
  const { kvHeads, headDim, gate, norms, rope, positions, cache } = options;
  expectShape(qkv, [pass.capacity, packedWidth(options, gate)]);
  expectShape(positions, [3, pass.capacity]);
  expectCache(cache, kvHeads, headDim);
  expectShape(rope.table, [dims(rope.table, 3)[0], rope.dims / 2, 2]);
  if (norms) expectShape(norms, [2 * headDim]);
  if (rope.dims > headDim)
    throw new EngineError("unsupported_model", `${rope.dims} rotary dims in heads of ${headDim}`);
  if (pass.capacity > 65_535)
    throw new Error(`a pass of ${pass.capacity} tokens; a grid has 65535 rows at most`);
  const turning = rope.sections?.reduce((sum, size) => sum + size, 0) ?? rope.dims / 2;
  if (turning !== rope.dims / 2) {
    const sections = rope.sections!.join(", ");
    throw new EngineError(
      "unsupported_model",
      `rope sections [${sections}] for ${rope.dims / 2} frequencies`,
    );
  }
}
