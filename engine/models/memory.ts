// The sequences' memory: a cache of keys and values for each attention layer, growing with the sequence up to its fixed
// capacity, and a state of fixed size for each delta-net layer; for each, as many slots as sequences may run at once.
import type { Gpu } from "../gpu/adapter.ts";
import { free } from "../gpu/tensor.ts";
import * as op from "../ops/index.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerMemory, Memory } from "./network.ts";

/** Allocates the memory of `slots` sequences of up to `capacity` tokens each, empty. Errors: out_of_memory. */
export function createMemory(gpu: Gpu, c: ModelConfig, capacity: number, slots = 1): Memory {
  const layers = c.layerTypes.map((type): LayerMemory => {
    if (type === "linear_attention")
      return { kind: "delta", state: op.createDeltaState(gpu, c.delta!, slots) };
    return {
      kind: "attention",
      cache: op.createKvCache(gpu, { slots, capacity, kvHeads: c.kvHeads, headDim: c.headDim }),
    };
  });
  return {
    layers,
    slots,
    capacity,
    bytes: layers.flatMap(tensorsOf).reduce((sum, { storage }) => sum + storage.bytes, 0),
  };
}

/** Bytes that one sequence of up to `capacity` tokens takes: in all layers, and in the tensor that is largest. */
export function memoryBytes(c: ModelConfig, capacity: number): { total: number; largest: number } {
  const tensors = c.layerTypes.flatMap((type) => {
    if (type === "linear_attention") return [op.deltaStateBytes(c.delta!)];
    const bytes = 4 * c.kvHeads * capacity * c.headDim;
    return [bytes, bytes];
  });
  return { total: tensors.reduce((sum, bytes) => sum + bytes, 0), largest: Math.max(...tensors) };
}

/** A slot back to the empty sequence. Keys and values beyond a sequence's length are never read: they may stay. */
export function resetMemory(gpu: Gpu, { layers }: Memory, slot = 0): void {
  op.resetDeltaState(gpu, slot, ...layers.flatMap((layer) => (layer.kind === "delta" ? [layer.state] : [])));
}

export function freeMemory(memory: Memory): void {
  free(...memory.layers.flatMap(tensorsOf));
}

function tensorsOf(layer: LayerMemory) {
  return layer.kind === "delta" ? [layer.state.memory] : [layer.cache.k, layer.cache.v];
}
