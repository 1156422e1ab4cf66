// What attention remembers: keys (after norm and rope) and values of each token, in pages that sequences take as they
// grow. Which pages are whose is decided on the host and told to the device by a table.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { dims, elements, expectShape, permanent, type Tensor } from "../gpu/tensor.ts";

/** Tokens of a page (shaders/kv_cache.wgsl); kernels walk keys in tiles that are no more than a page. */
export const PAGE = 64;

/** How keys and values are kept (shaders/kv_read). */
export type KvFormat = "f32" | "f16" | "q8_0";
export const kvFormats = ["f32", "f16", "q8_0"] as const satisfies readonly KvFormat[];

/** Keys and values of one layer, each [pages, Nkv, PAGE] rows of words, and whose they are (shaders/kv_cache.wgsl). */
export interface KvCache {
  readonly format: KvFormat;
  readonly k: Tensor;
  readonly v: Tensor;
  /** u32 [slots, pages of the longest sequence]: the same of all layers. */
  readonly table: Tensor;
}

/** What a layer's cache holds, and for whom. */
export interface CacheSize {
  /** Default: f32. */
  format?: KvFormat;
  pages: number;
  kvHeads: number;
  headDim: number;
  table: Tensor;
}

/** The pages of `slots` sequences of up to `capacity` tokens each; told nothing yet. */
export function createPageTable(gpu: Gpu, slots: number, capacity: number): Tensor {
  return permanent(gpu, "page table", [slots, Math.ceil(capacity / PAGE)], undefined, "u32");
}

/** Bytes of a key, or a value, of one head. Errors: bad_request where the format cannot hold such a width. */
export function kvRowBytes(format: KvFormat, headDim: number): number {
  if (format === "f32") return 4 * headDim;
  if (format === "f16") return 2 * headDim;
  if (headDim % 32 !== 0) {
    const text = `a KV cache in q8_0 needs head widths in multiples of 32, and this model's is ${headDim}`;
    throw new EngineError("bad_request", text);
  }
  return headDim + 4 * Math.ceil(headDim / 64);
}

/** An empty cache for one layer. Errors: out_of_memory; bad_request for a format that does not suit the model. */
export function createKvCache(gpu: Gpu, size: CacheSize): KvCache {
  const { format = "f32", pages, kvHeads, headDim, table } = size;
  const shape = [pages, kvHeads, PAGE, kvRowBytes(format, headDim) / 4];
  const bytes = elements(shape) * 4;
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  if (bytes > limit) {
    const size = `a key cache of ${pages * PAGE} tokens × ${kvHeads} heads × ${headDim} needs ${bytes} bytes a layer`;
    throw new EngineError("out_of_memory", `${size}, and ${gpu.report.name} binds at most ${limit}`);
  }
  const rows = (label: string) => permanent(gpu, label, shape, undefined, format === "f32" ? "f32" : "u32");
  return { format, k: rows("cache.k"), v: rows("cache.v"), table };
}

/** Pages of the longest sequence. */
export function slotPages({ table }: KvCache): number {
  return dims(table, 2)[1];
}

/** Tokens of the longest sequence, for estimates. */
export function cacheCapacity(cache: KvCache): number {
  return slotPages(cache) * PAGE;
}

export function expectCache({ format, k, v, table }: KvCache, kvHeads: number, headDim: number): void {
  const [pages] = dims(k, 4);
  const shape = [pages, kvHeads, PAGE, kvRowBytes(format, headDim) / 4];
  for (const tensor of [k, v]) expectShape(tensor, shape);
  dims(table, 2);
}
