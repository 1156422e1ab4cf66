// Causal attention over a layer's cache. On a card, one token's keys are dealt out to workgroups and their parts merged,
// and many tokens are tiles of queries that walk tiles of keys; a processor has a kernel of its own, for one and for
// many. The scores never leave the chip.
import { EngineError } from "../errors.ts";
import type { Pass } from "../gpu/pass.ts";
import { decodes, sequencesOf, stepPart } from "../gpu/step.ts";
import { expectShape, type Tensor } from "../gpu/tensor.ts";
import { promptWay, splitsOf, type PromptWay } from "./attention-ways.ts";
import { headScales } from "./cards.ts";
import { cacheCapacity, expectCache, slotPages, type KvCache } from "./kv-cache.ts";
import { isSoftware, subgroupWidth } from "./variants.ts";

/** Head counts and width: query head h reads kv head ⌊h / (heads / kvHeads)⌋. */
export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
}

export interface AttentionOptions extends Heads {
  /** The packed projection [T, PACKED] whose query heads are [D query | D gate]: y · sigmoid(gate). */
  gate?: Tensor;
}

const widest = 256; // what a tile's registers are laid out for
const laneRows = [4, 8] as const; // (token, head) rows of an attention_lanes workgroup, of a token and of a prompt
const blockHeads = 4; // most query heads of one attention_split workgroup
/** Of one dispatch: drivers kill what takes two seconds, and what has the memory for so long a cache does that in one. */
const mostFlops = 1e12;

/**
 * y[t,h] = Σ_k softmax_k(q[t,h] · K_k · D^-½) · V_k over the keys that its sequence has up to t, times sigmoid(gate) if given.
 * q: [T, Nh, D], scaled by nothing   → [T, Nh·D]   The run's own keys and values are in the cache already.
 */
export function attention(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions): Tensor {
  checkHeads(options);
  const { heads, kvHeads, headDim, gate } = options;
  expectShape(q, [pass.capacity, heads, headDim]);
  expectCache(cache, kvHeads, headDim);
  if (gate) expectShape(gate, [pass.capacity, packedWidth(options, true)]);
  const width = subgroupWidth(pass.gpu);
  if (isSoftware(pass.gpu) && width !== undefined) return lanes(pass, q, cache, options, width);
  return decodes(pass) ? split(pass, q, cache, options) : tiles(pass, q, cache, options);
}

/** Width of the packed projection q | k | v, with a gate half in every query head or without. */
export function packedWidth({ heads, kvHeads, headDim }: Heads, gate: boolean): number {
  return (heads * (gate ? 2 : 1) + 2 * kvHeads) * headDim;
}

/** The head shapes that the kernels take. Errors: unsupported_model. */
export function checkHeads({ heads, kvHeads, headDim }: Heads): void {
  if (heads % kvHeads !== 0) {
    throw new EngineError(
      "unsupported_model",
      `${heads} query heads do not divide among ${kvHeads} kv heads`,
    );
  }
  if (headDim % 4 !== 0 || headDim > widest) {
    throw new EngineError(
      "unsupported_model",
      `head width ${headDim}; supported: multiples of 4 up to ${widest}`,
    );
  }
}

function split(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions): Tensor {
  const { heads, kvHeads, headDim: D, gate } = options;
  const blocks = Math.ceil(heads / kvHeads / blockHeads);
  const GROUPED = Math.ceil(heads / kvHeads / blocks);
  const SPLITS = splitsOf(pass, cache, options, kvHeads * blocks);
  const acc = pass.scratch([pass.capacity, heads, SPLITS, D]);
  const stats = pass.scratch([pass.capacity, heads, SPLITS, 2]);
  pass.dispatch(
    "attention_split",
    [pass.step, q, cache.k, cache.v, acc, stats, undefined, undefined, cache.table],
    {
      parts: [stepPart(pass), "kv_cache", `kv_read/${cache.format}`, "attention_chunk"],
      constants: {
        HEADS: heads,
        KV_HEADS: kvHeads,
        D,
        GROUPED,
        BLOCKS: blocks,
        SPLITS,
        SLOT_PAGES: slotPages(cache),
      },
      groups: [SPLITS, kvHeads, (tokens) => tokens * blocks],
      flops: (tokens) => 4 * tokens * heads * D * cacheCapacity(cache),
    },
  );
  const y = pass.scratch([pass.capacity, heads * D]);
  const gating = gatePart(options);
  pass.dispatch("attention_merge", [pass.step, acc, stats, y, undefined, undefined, gate], {
    parts: [stepPart(pass), "attention_chunk", gating.part],
    constants: { HEADS: heads, D, SPLITS, ...gating.constants },
    groups: [heads, (tokens) => tokens],
    flops: (tokens) => 2 * tokens * heads * D * SPLITS,
  });
  return y;
}

function tiles(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions): Tensor {
  const way = promptWay(pass, cache, options);
  if (way.kernel === "attention_tile") return walk(pass, q, cache, options, way);
  const ranges = cache.format === "f16" ? undefined : kvRanges(pass, cache, options);
  return walk(pass, q, cache, options, { ...way, ranges, scales: headScales(pass, q) });
}

function lanes(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions, LANES: number): Tensor {
  const many = !decodes(pass) && pass.capacity * (options.heads / options.kvHeads) > laneRows[0];
  const ROWS = laneRows[many ? 1 : 0];
  const constants = { LANES, ROWS };
  return walk(pass, q, cache, options, { kernel: "attention_lanes", rows: ROWS, constants });
}

/** The largest magnitudes in each page of the run's sequence → [pages, Nkv] of two, as bits (shaders/kv_ranges.wgsl). */
function kvRanges(pass: Pass, cache: KvCache, { kvHeads, headDim: D }: Heads): Tensor {
  const SLOT_PAGES = slotPages(cache);
  const ranges = pass.scratch([SLOT_PAGES, kvHeads, 2], "ranges of pages", "u32");
  pass.dispatch(
    "kv_ranges",
    [pass.step, undefined, cache.k, cache.v, undefined, ranges, undefined, undefined, cache.table],
    {
      parts: [stepPart(pass), "kv_cache", `kv_read/${cache.format}`, "scaled/powers"],
      constants: { KV_HEADS: kvHeads, D, SLOT_PAGES },
      groups: [SLOT_PAGES, kvHeads],
    },
  );
  return ranges;
}

interface Walk extends Pick<PromptWay, "rows" | "constants"> {
  kernel: PromptWay["kernel"] | "attention_lanes";
  parts?: readonly string[];
  /** What takes keys and values, and queries, into f16's range. */
  ranges?: Tensor | undefined;
  scales?: Tensor;
}

/**
 * A workgroup per sequence, kv head and so many rows, each walking all keys that its rows see. Over a cache of a hundred
 * thousand tokens a card takes them in parts.
 */
function walk(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions, by: Walk): Tensor {
  const { heads, kvHeads, headDim: D, gate } = options;
  const y = pass.scratch([pass.capacity, heads * D]);
  const gating = gatePart(options);
  const keys = cacheCapacity(cache); // what it is when the cache is full
  const most = Math.floor(mostFlops / (4 * kvHeads * D * keys) / by.rows) * by.rows;
  const inParts = by.kernel !== "attention_lanes";
  const part = inParts ? Math.max(by.rows, most) : Infinity;
  const group = heads / kvHeads;
  for (let first = 0; first < pass.capacity * group; first += part) {
    const rows = (tokens: number) => Math.min(Math.max((pass.batch ? 1 : tokens) * group - first, 0), part);
    pass.dispatch(by.kernel, [pass.step, q, cache.k, cache.v, y, by.ranges, gate, by.scales, cache.table], {
      parts: [stepPart(pass), "kv_cache", `kv_read/${cache.format}`, gating.part, ...(by.parts ?? [])],
      constants: {
        ...{ HEADS: heads, KV_HEADS: kvHeads, D, SLOT_PAGES: slotPages(cache) },
        ...(inParts ? { FIRST: first } : {}),
        ...by.constants,
        ...gating.constants,
      },
      groups: [(tokens) => Math.ceil(rows(tokens) / by.rows), kvHeads, sequencesOf(pass)],
      flops: (tokens) => 4 * kvHeads * D * keys * (pass.batch ? tokens : 1) * rows(tokens),
    });
  }
  return y;
}

function gatePart(options: AttentionOptions): { part: string; constants: Record<string, number> } {
  if (!options.gate) return { part: "attention_plain", constants: {} };
  return { part: "attention_gate", constants: { PACKED: packedWidth(options, true) } };
}
