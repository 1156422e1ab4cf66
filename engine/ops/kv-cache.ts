// What attention remembers: keys (after norm and rope) and values of each token, in pages that sequences take as they
// grow. Which pages are whose is decided on the host and told to the device by a table.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { dims, elements, expectShape, permanent, type Tensor } from "../gpu/tensor.ts";

/** Tokens of a page (shaders/kv_cache.wgsl); kernels walk keys in tiles that are no more than a page. */
export const PAGE = 64;

/** Keys and values of one layer, each [pages, Nkv, PAGE, D], and whose they are (shaders/kv_cache.wgsl). */
export interface KvCache {
  readonly k: Tensor;
  readonly v: Tensor;
  /** u32 [slots, pages of the longest sequence]: the same of all layers. */
  readonly table: Tensor;
}

/** What a layer's cache holds, and for whom. */
export interface CacheSize {
  pages: number;
  kvHeads: number;
  headDim: number;
  table: Tensor;
}

/** The pages of `slots` sequences of up to `capacity` tokens each; told nothing yet. */
export function createPageTable(gpu: Gpu, slots: number, capacity: number): Tensor {
  return permanent(gpu, "page table", [slots, Math.ceil(capacity / PAGE)], undefined, "u32");
}

/** An empty cache for one layer. Errors: out_of_memory. */
export function createKvCache(gpu: Gpu, { pages, kvHeads, headDim, table }: CacheSize): KvCache {
  const shape = [pages, kvHeads, PAGE, headDim];
  const bytes = elements(shape) * 4;
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  if (bytes > limit) {
    const size = `a key cache of ${pages * PAGE} tokens × ${kvHeads} heads × ${headDim} needs ${bytes} bytes a layer`;
    throw new EngineError("out_of_memory", `${size}, and ${gpu.report.name} binds at most ${limit}`);
  }
  return { k: permanent(gpu, "cache.k", shape), v: permanent(gpu, "cache.v", shape), table };
}

/** Pages of the longest sequence. */
export function slotPages({ table }: KvCache): number {
  return dims(table, 2)[1];
}

/** Tokens of the longest sequence, for estimates. */
export function cacheCapacity(cache: KvCache): number {
  return slotPages(cache) * PAGE;
}

export function expectCache({ k, v, table }: KvCache, kvHeads: number, headDim: number): void {
  const [pages] = dims(k, 4);
  for (const tensor of [k, v]) expectShape(tensor, [pages, kvHeads, PAGE, headDim]);
  dims(table, 2);
}
