// The kernels of attention for cards, in the ways that suit one card or another: what is tuned. The first way of each is
// the guess, by arithmetic.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Way } from "../gpu/tuning.ts";
import type { Heads } from "./attention.ts";
import { matrixShapes } from "./cards.ts";
import { cacheCapacity, type KvCache, type KvFormat } from "./kv-cache.ts";

export interface PromptWay extends Way {
  readonly kernel: "attention_tile" | "attention_matrix";
  /** (token, head) rows of a workgroup. */
  readonly rows: number;
  /** Those behind what every kernel on a cache has. */
  readonly parts: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
}

/**
 * Many tokens: more rows read the cache less often, fewer keep a card busy and leave room for more workgroups at once. The
 * device's own matrices are taken if they were measured, as matmul's are; not in strict mode, as their inputs are rounded.
 */
export function promptWay({ gpu, capacity }: Pass, cache: KvCache, heads: Heads, gated: boolean): PromptWay {
  const question = { kernel: "attention", format: cache.format, ...shapeOf(heads), T: capacity } as const;
  return gpu.tuning.choose(question, promptWays(gpu, cache.format, gated));
}

function promptWays(gpu: Gpu, format: KvFormat, gated: boolean): PromptWay[] {
  const { maxComputeWorkgroupStorageSize: most, maxStorageBuffersPerShaderStage: bound } = gpu.limits;
  const others = [tile(16, 64), tile(64, 64), tile(32, 32), tile(64, 32), ...matrixWays(gpu, format)];
  const fits = ({ storage, buffers }: Sized) => storage <= most && buffers + (gated ? 1 : 0) <= bound;
  return [tile(32, 64), ...others.filter(fits)];
}

/** With what it keeps in workgroup memory, bytes, and the storage buffers that it binds where there is no gate. */
type Sized = PromptWay & { readonly storage: number; readonly buffers: number };

const ofEvery = 6; // step, q, K, V, y and the page table

function tile(ROWS: 16 | 32 | 64, KEYS: 32 | 64): Sized {
  return {
    ...{ name: `${ROWS} rows, ${KEYS} keys`, kernel: "attention_tile", rows: ROWS, parts: [] },
    constants: { ROWS, KEYS },
    storage: 16 * (4 * ROWS + 4 * KEYS + (KEYS * ROWS) / 4 + 4 * ROWS),
    buffers: ofEvery,
  };
}

function matrixWays(gpu: Gpu, format: KvFormat): Sized[] {
  const range = format === "f16" ? ["kv_range/halves"] : ["scaled/powers", "kv_range/measured"];
  return matrixShapes(gpu).flatMap(({ shape, WIDTH }) =>
    ([64, 32] as const).map((ROWS) => ({
      ...{ name: `matrices ${shape}, ${ROWS} rows`, kernel: "attention_matrix", rows: ROWS, rounds: "f16" },
      parts: [...range, `matrix/${shape}`, "matrix/units"],
      constants: { ROWS, WIDTH },
      storage: 2 * (40 * ROWS + 32 * 72) + 4 * 32 * ROWS + 6 * 4 * ROWS + 16,
      buffers: ofEvery + (format === "f16" ? 1 : 2), // scales of queries, and ranges of pages
    })),
  );
}

const tileKeys = 64; // the least keys worth a workgroup of attention_split
const mostSplits = 64;

/**
 * One token of each sequence: in how many parts its keys are dealt out to `workgroupsEach` workgroups. Its sums' order
 * depends on that, so it is asked for one token, however many there are.
 */
export function splitsOf({ gpu }: Pass, cache: KvCache, heads: Heads, workgroupsEach: number): number {
  const keys = cacheCapacity(cache);
  const question = {
    ...({ kernel: "attention split", format: cache.format } as const),
    ...{ ...shapeOf(heads), keys, T: 1 },
  };
  return gpu.tuning.choose(question, splitWays(keys, workgroupsEach)).splits;
}

/** Enough workgroups for a large card at a full cache, but none for fewer keys than a tile, is the guess. */
function splitWays(capacity: number, workgroupsEach: number): { name: string; splits: number }[] {
  const most = Math.min(mostSplits, Math.ceil(capacity / tileKeys));
  const guess = Math.min(most, Math.max(8, Math.ceil(256 / workgroupsEach)));
  const splits = new Set([guess, ...[4, 8, 16, 32, 64].filter((n) => n <= most)]);
  return [...splits].map((n) => ({ name: `${n} splits`, splits: n }));
}

function shapeOf({ heads, kvHeads, headDim }: Heads): Heads {
  return { heads, kvHeads, headDim };
}
