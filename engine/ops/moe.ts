// Mixtures of experts: a router chooses a few MLPs for each token, whose results are added by their shares. Few tokens
// or many, the same kernel multiplies (moe_matvec), in the order of one token; many are sorted by expert before, so
// that an expert's rows are read once for several of its tokens.
import type { Pass } from "../gpu/pass.ts";
import { dims, expectShape, type Tensor, type Weight } from "../gpu/tensor.ts";
import { isSoftware, rowLanes, weightParts, wideLanes } from "./variants.ts";

export interface ExpertSettings {
  /** E, and how many of them a token has. */
  readonly experts: number;
  readonly used: number;
  /** Shares are of the chosen experts' sum; else of all experts'. */
  readonly normalised: boolean;
}

/** Which experts each token has, [T, used] u32, the likeliest first, and by which shares, [T, used]. */
export interface Routing {
  readonly ids: Tensor;
  readonly shares: Tensor;
  /** The same sorted by expert, where there are several tokens. */
  readonly sorted: { readonly tiles: Tensor; readonly order: Tensor } | undefined;
}

/** Pairs of a token and an expert for which a workgroup reads a row once. */
const columns = 4;

/** softmax and top-k.   logits: [T, E] */
export function routeExperts(pass: Pass, logits: Tensor, s: ExpertSettings): Routing {
  const [T] = dims(logits, 2);
  expectShape(logits, [T, s.experts]);
  const ids = pass.scratch([T, s.used], "experts", "u32");
  const shares = pass.scratch([T, s.used], "shares");
  const LANES = isSoftware(pass.gpu) ? 8 : 64;
  pass.dispatch("moe_route", [logits, ids, shares], {
    parts: ["reduce/best"],
    constants: { E: s.experts, USED: s.used, ALL: s.normalised ? 0 : 1, LANES },
    groups: [T === 1 ? 1 : (tokens) => tokens],
  });
  return { ids, shares, sorted: T === 1 ? undefined : sorted(pass, ids, T, s) };
}

function sorted(pass: Pass, ids: Tensor, T: number, { experts, used }: ExpertSettings): Routing["sorted"] {
  const TILES = tilesOf(T, experts, used);
  const order = pass.scratch([T * used], "pairs by expert", "u32");
  const tiles = pass.scratch([TILES, 4], "tiles of experts", "u32");
  const { LANES } = wideLanes(pass.gpu);
  pass.dispatch("moe_group", [ids, order, tiles, pass.step], {
    parts: ["step"],
    constants: { E: experts, USED: used, COLUMNS: columns, TILES, LANES },
    groups: [1],
  });
  return { tiles, order };
}

/** The most tiles that so many tokens can have: every expert may have one that is not full. */
function tilesOf(tokens: number, experts: number, used: number): number {
  const pairs = tokens * used;
  return Math.min(pairs, Math.floor(pairs / columns) + Math.min(experts, pairs));
}

/**
 * Every chosen expert's MLP: down(silu(gate(x)) · up(x)).   x: [T, K]   up: [E · 2I, K], an expert's gate and up rows
 * alternating   down: [E · N, I]   → [T · used, N], a token's experts in the order of its routing.
 */
export function experts(
  pass: Pass,
  x: Tensor,
  up: Weight,
  down: Weight,
  routing: Routing,
  s: ExpertSettings,
): Tensor {
  const hidden = multiply(pass, x, up, routing, s, { share: s.used, ending: "moe/swiglu" });
  return multiply(pass, hidden, down, routing, s, { share: 1, ending: "moe/plain" });
}

function multiply(
  pass: Pass,
  x: Tensor,
  W: Weight,
  { ids, sorted }: Routing,
  { experts, used }: ExpertSettings,
  { share, ending }: { share: number; ending: "moe/swiglu" | "moe/plain" },
): Tensor {
  const [T] = dims(ids, 2);
  const [rows, K] = W.shape;
  const R = rows / experts;
  expectShape(x, [(T * used) / share, K]);
  if (!Number.isInteger(R)) throw new Error(`${rows} rows of ${experts} experts`);
  if (ending === "moe/swiglu" && R % 2 !== 0) throw new Error(`pairs of rows are wanted, got ${R}`);
  const y = pass.scratch([T * used, ending === "moe/swiglu" ? R / 2 : R], "experts");
  const { LANES, reduce } = rowLanes(pass.gpu);
  const QUADS = isSoftware(pass.gpu) ? 4 : 1;
  const tiles = (tokens: number) => tilesOf(tokens, experts, used);
  for (const shard of W.shards) {
    const list = sorted ? [sorted.tiles, sorted.order] : [ids];
    const { parts, constants } = weightParts(shard, K);
    pass.dispatch("moe_matvec", [x, shard.place, y, undefined, ...list], {
      parts: [...parts, reduce, sorted ? "moe/tiles" : "moe/one", ending],
      constants: {
        ...{ K, R, SHARE: share, FIRST: shard.firstRow, ROWS: shard.rows },
        ...{ LANES, QUADS, COLUMNS: sorted ? columns : 1, ...constants },
      },
      groups: [Math.ceil(R / (4 * QUADS)), 1, sorted ? tiles : used],
      flops: (tokens) => (2 * Math.min(T, tokens) * used * K * R * shard.rows) / rows,
    });
  }
  return y;
}

/**
 * y = x + Σ share · part (+ sigmoid(gate) · everyone).   x: [T, C]   parts: [T · used, C]   gate: [T, 1]   everyone: [T, C]
 * → [T, C].   Without x, a device's part of that: the shares' sum alone.
 */
export function mixExperts(
  pass: Pass,
  x: Tensor | undefined,
  parts: Tensor,
  { shares }: Routing,
  shared?: { gate: Tensor; everyone: Tensor },
): Tensor {
  const [T, used] = dims(shares, 2);
  const [, C] = dims(parts, 2);
  expectShape(parts, [T * used, C]);
  if (x) expectShape(x, [T, C]);
  if (shared) {
    expectShape(shared.gate, [T, 1]);
    expectShape(shared.everyone, [T, C]);
  }
  const y = pass.scratch([T, C], "mixed");
  pass.dispatch("moe_mix", [x, parts, y, shares, shared?.gate, shared?.everyone], {
    parts: [x ? "moe/residual" : "moe/partial", shared ? "moe/shared" : "moe/unshared"],
    constants: { C, USED: used },
    groups: [Math.ceil(C / 64), T === 1 ? 1 : (tokens) => tokens],
  });
  return y;
}
