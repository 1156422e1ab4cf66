// How the autotune measures attention: over a cache of a long conversation's length, several times as for several
// layers.
import type { Gpu } from "../gpu/adapter.ts";
import type { Recording } from "../gpu/recording.ts";
import { permanent, type Tensor } from "../gpu/tensor.ts";
import type { AttentionQuestion } from "../gpu/tuning.ts";
import { attend } from "./attend.ts";
import { attention, packedWidth } from "./attention.ts";
import { createKvCache, createPageTable, kvRowBytes, PAGE, type KvCache, type KvFormat } from "./kv-cache.ts";
import { countOf, fill, mostBytes, runBytes, runFlops, type Keep, type Work } from "./tune-trial.ts";

const mostKeys = 4096;

/** Fewer where a prompt would take too long, or the cache too much. */
function keysOf(question: AttentionQuestion): number {
  const { heads, headDim, keys = mostKeys, T } = question;
  const affordable = T > 1 ? runFlops / (4 * T * heads * headDim) : mostKeys;
  const fitting = mostBytes / keyBytes(question);
  return Math.max(T, Math.min(keys, mostKeys, Math.floor(affordable), Math.floor(fitting)));
}

/** Of a key and its value. */
function keyBytes({ format, kvHeads, headDim }: AttentionQuestion): number {
  return 2 * kvHeads * kvRowBytes(format as KvFormat, headDim);
}

/** Multiply-adds of one layer. */
export function attentionWork(question: AttentionQuestion): number {
  return 2 * question.T * question.heads * question.headDim * keysOf(question);
}

/** Some layers over caches of their own. */
export function attentionTrial(gpu: Gpu, question: AttentionQuestion, keep: Keep): Work {
  const { kvHeads, headDim, T } = question;
  const format = question.format as KvFormat;
  const keys = keysOf(question);
  const pages = Math.ceil(keys / PAGE);
  const bytes = pages * PAGE * keyBytes(question);
  const count = countOf(T > 1 ? runFlops / (2 * attentionWork(question)) : runBytes / bytes);
  const copies = T > 1 ? 1 : count; // more than the card's own cache holds
  const table = keep(createPageTable(gpu, 1, keys));
  gpu.device.queue.writeBuffer(
    table.storage.buffer!,
    0,
    Uint32Array.from({ length: pages }, (_, i) => i),
  );
  const caches = Array.from({ length: copies }, () => {
    const cache = createKvCache(gpu, { format, pages, kvHeads, headDim, table });
    keep(cache.k);
    keep(cache.v);
    return cache;
  });
  const { k, v } = caches[(count - 1) % copies]!;
  fill(gpu, k, v);
  const layer = T > 1 ? promptLayer(gpu, question, keep) : tokenLayer(gpu, question, keep);
  const record = (recording: Recording) =>
    Array.from({ length: count }, (_, i) => layer(recording, caches[i % copies]!));
  return { tokens: T, past: keys - T, record };
}

type Layer = (recording: Recording, cache: KvCache) => Tensor;

function promptLayer(gpu: Gpu, { heads, kvHeads, headDim, T }: AttentionQuestion, keep: Keep): Layer {
  const q = keep(permanent(gpu, "q", [T, heads, headDim]));
  fill(gpu, q);
  return (recording, cache) => attention(recording, q, cache, { heads, kvHeads, headDim });
}

/** All of what a token takes: norms and rope are part of the same kernel. */
function tokenLayer(gpu: Gpu, { heads, kvHeads, headDim }: AttentionQuestion, keep: Keep): Layer {
  const shape = { heads, kvHeads, headDim };
  const qkv = keep(permanent(gpu, "qkv", [1, packedWidth(shape, false)]));
  const norms = keep(permanent(gpu, "norms", [2 * headDim]));
  const table = keep(permanent(gpu, "rope", [1, headDim / 2, 2]));
  const positions = keep(permanent(gpu, "positions", [3, 1], new Uint32Array(3)));
  fill(gpu, qkv, norms, table);
  const rope = { table, dims: headDim };
  return (recording, cache) =>
    attend(recording, qkv, {
      ...shape,
      gate: false,
      norms,
      eps: 1e-6,
      normOffset: 0,
      rope,
      positions,
      cache,
    });
}
