// Causal attention over a layer's cache. On a card, tiles of queries walk tiles of keys; a processor has a kernel of its own.
// The scores never leave the chip. A token of each sequence: attend.ts.
import { EngineError } from "../errors.ts";
import type { Pass } from "../gpu/pass.ts";
import { decodes, sequencesOf, stepPart } from "../gpu/step.ts";
import { expectShape, type Tensor } from "../gpu/tensor.ts";
import { promptWay, type PromptWay } from "./attention-ways.ts";
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
  return tiles(pass, q, cache, options);
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

function tiles(pass: Pass, q: Tensor, cache: KvCache, options: AttentionOptions): Tensor {
  const way = promptWay(pass, cache, options, options.gate !== undefined);
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
      parts: [stepPart(pass), "kv_cache", ...readParts(cache), "scaled/powers"],
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
      parts: [stepPart(pass), "kv_cache", ...readParts(cache), ...gating.parts, ...(by.parts ?? [])],
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

/** What reads the gates of the packed projection, if there are any. */
export function gatePart(options: Heads & { gate?: Tensor | undefined }): {
  parts: string[];
  constants: Record<string, number>;
} {
  if (!options.gate) return { parts: ["attention_plain"], constants: {} };
  return {
    parts: ["attention_packed", "attention_gate"],
    constants: { PACKED: packedWidth(options, true) },
  };
}

/** What reads keys and values of a cache that is bound for reading. */
function readParts({ format }: KvCache): string[] {
  return [`kv_bind/${format}`, `kv_read/${format}`];
}
