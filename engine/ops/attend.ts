// From the packed projection to what attention mixes. A token of each sequence is normed, turned, kept and mixed by one kernel,
// and on a card by another that merges what workgroups made of its keys; of prompts the queries go through memory.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { decodes, stepPart } from "../gpu/step.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention, gatePart } from "./attention.ts";
import { splitsOf } from "./attention-ways.ts";
import { cacheCapacity, type KvCache } from "./kv-cache.ts";
import { fromProjection, prepareQkv, writingLanes, type QkvOptions } from "./qkv.ts";
import { softwareLanes } from "./variants.ts";

const blockHeads = 4; // most query heads of one workgroup

/**
 * y = attention of the queries of the projection over what their sequences have in the cache, to which their own keys and
 * values are added, times sigmoid(gate) if there is one.   qkv: [T, PACKED], q | k | v   → [T, Nh·D]
 */
export function attend(pass: Pass, qkv: Tensor, options: QkvOptions): Tensor {
  const { heads, kvHeads, headDim, gate, cache } = options;
  if (decodes(pass) && attendsAtOnce(pass.gpu, cache)) {
    const lanes = writingLanes(pass.gpu, cache.format);
    return lanes === undefined ? decodeSplit(pass, qkv, options) : decodeLanes(pass, qkv, options, lanes);
  }
  const q = prepareQkv(pass, qkv, options);
  return attention(pass, q, cache, { heads, kvHeads, headDim, ...(gate ? { gate: qkv } : {}) });
}

/** Whether a token takes no kernel before: not on a processor whose subgroups do not round a block of the cache each. */
export function attendsAtOnce(gpu: Gpu, { format }: Pick<KvCache, "format">): boolean {
  return writingLanes(gpu, format) === softwareLanes(gpu);
}

function decodeLanes(pass: Pass, qkv: Tensor, options: QkvOptions, LANES: number): Tensor {
  const { heads, kvHeads, headDim: D, gate, cache } = options;
  const y = pass.scratch([pass.capacity, heads * D]);
  const { bindings, parts, constants } = fromProjection(pass, qkv, y, options, true);
  pass.dispatch("attention_decode", bindings, {
    parts: [...parts, gate ? "attention_gate" : "attention_plain"],
    constants: { ...constants, LANES },
    groups: [Math.ceil(heads / kvHeads / blockHeads), kvHeads, (tokens) => tokens],
    flops: (tokens) => 4 * tokens * heads * D * cacheCapacity(cache),
  });
  return y;
}

function decodeSplit(pass: Pass, qkv: Tensor, options: QkvOptions): Tensor {
  const { heads, kvHeads, headDim: D, gate, cache } = options;
  const BLOCKS = Math.ceil(heads / kvHeads / blockHeads);
  const GROUPED = Math.ceil(heads / kvHeads / BLOCKS);
  const SPLITS = splitsOf(pass, cache, options, kvHeads * BLOCKS);
  const acc = pass.scratch([pass.capacity, heads, SPLITS, D + 4]);
  const { bindings, parts, constants } = fromProjection(pass, qkv, acc, options, false);
  pass.dispatch("attention_split", bindings, {
    parts: [...parts, "reduce/heads_workgroup", "attention_chunk"],
    constants: { ...constants, GROUPED, BLOCKS, SPLITS },
    groups: [SPLITS, kvHeads, (tokens) => tokens * BLOCKS],
    flops: (tokens) => 4 * tokens * heads * D * cacheCapacity(cache),
  });
  const y = pass.scratch([pass.capacity, heads * D]);
  const gating = gatePart({ ...options, gate: gate ? qkv : undefined });
  pass.dispatch(
    "attention_merge",
    [pass.step, acc, y, undefined, undefined, undefined, gate ? qkv : undefined],
    {
      parts: [stepPart(pass), "attention_chunk", ...gating.parts],
      constants: { HEADS: heads, D, SPLITS, ...gating.constants },
      groups: [heads, (tokens) => tokens],
      flops: (tokens) => 2 * tokens * heads * D * SPLITS,
    },
  );
  return y;
}
