// A sequence's memory: a cache of keys and values for each attention layer, growing with the sequence up to its fixed
// capacity, and a state of fixed size for each delta-net layer.
import type { Gpu } from "../gpu/adapter.ts";
import { free } from "../gpu/tensor.ts";
import * as op from "../ops/index.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerMemory, Memory } from "./network.ts";

/** Allocates the memory of one sequence of up to `capacity` tokens, empty. */
export function createMemory(gpu: Gpu, c: ModelConfig, capacity: number): Memory {
  const layers = c.layerTypes.map((type): LayerMemory => {
    if (type === "linear_attention") return { kind: "delta", state: op.createDeltaState(gpu, c.delta!) };
    return {
      kind: "attention",
      cache: op.createKvCache(gpu, { capacity, kvHeads: c.kvHeads, headDim: c.headDim }),
    };
  });
  return {
    layers,
    capacity,
    bytes: layers.flatMap(tensorsOf).reduce((sum, { storage }) => sum + storage.bytes, 0),
  };
}

/** Back to the empty sequence. Cached keys and values beyond the sequence's length are never read: they may stay. */
export function resetMemory(gpu: Gpu, memory: Memory): void {
  for (const layer of memory.layers) if (layer.kind === "delta") op.resetDeltaState(gpu, layer.state);
}

export function freeMemory(memory: Memory): void {
  free(...memory.layers.flatMap(tensorsOf));
}

function tensorsOf(layer: LayerMemory) {
  return layer.kind === "delta" ? [layer.state.memory] : [layer.cache.k, layer.cache.v];
}
