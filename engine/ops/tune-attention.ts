// How the autotune measures attention: over a cache of a long conversation's length, several times as for several
// layers.
import type { Gpu } from "../gpu/adapter.ts";
import type { Recording } from "../gpu/recording.ts";
import { permanent } from "../gpu/tensor.ts";
import type { AttentionQuestion } from "../gpu/tuning.ts";
import { attention } from "./attention.ts";
import { createKvCache, createPageTable, kvRowBytes, PAGE, type KvFormat } from "./kv-cache.ts";
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
  const { heads, kvHeads, headDim, T } = question;
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
  const q = keep(permanent(gpu, "q", [T, heads, headDim]));
  const { k, v } = caches[(count - 1) % copies]!;
  fill(gpu, q, k, v);
  const record = (recording: Recording) =>
    Array.from({ length: count }, (_, i) =>
      attention(recording, q, caches[i % copies]!, { heads, kvHeads, headDim }),
    );
  return { tokens: T, past: keys - T, record };
}
