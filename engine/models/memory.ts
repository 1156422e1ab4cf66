// The sequences' memory: for each attention layer keys and values in pages, which sequences take as they grow; for each
// delta-net layer a state of fixed size in as many slots as sequences may run at once, and room to save some of them.
import type { Gpu } from "../gpu/adapter.ts";
import { free, permanent, rowBytes } from "../gpu/tensor.ts";
import * as op from "../ops/index.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerMemory, Memory } from "./network.ts";

export interface MemorySize {
  /** Sequences at once. */
  slots: number;
  /** Tokens of the longest. */
  capacity: number;
  /** Of the caches; default: enough for every slot's longest sequence. */
  pages?: number | undefined;
  /** States that can be saved; default: none. */
  snapshots?: number | undefined;
}

/** Allocates it, empty; whose the pages are is still to be told (models/copies.ts). Errors: out_of_memory. */
export function createMemory(gpu: Gpu, c: ModelConfig, size: MemorySize): Memory {
  const { slots, capacity, snapshots = 0 } = size;
  const { pages = slots * Math.ceil(capacity / op.PAGE) } = size;
  const { kvHeads, headDim } = c;
  const table = op.createPageTable(gpu, slots, capacity);
  const layers = c.layerTypes.map((type): LayerMemory =>
    type === "linear_attention"
      ? { kind: "delta", state: op.createDeltaState(gpu, c.delta!, slots, snapshots) }
      : { kind: "attention", cache: op.createKvCache(gpu, { pages, kvHeads, headDim, table }) },
  );
  const caches = layers.flatMap((layer) => (layer.kind === "attention" ? [layer.cache] : []));
  const states = layers.flatMap((layer) => (layer.kind === "delta" ? [layer.state] : []));
  const bounce = permanent(gpu, "bounce", [Math.max(0, ...caches.map(({ k }) => rowBytes(k))) / 4]);
  const tensors = [...layers.flatMap(tensorsOf), table, bounce];
  return {
    ...{ layers, slots, capacity, pages, table, snapshots, bounce },
    pageBytes: sum(caches.flatMap(({ k, v }) => [rowBytes(k), rowBytes(v)])),
    stateBytes: sum(states.map(({ memory }) => rowBytes(memory))),
    bytes: sum(tensors.map(({ storage }) => storage.bytes)),
  };
}

export function freeMemory({ layers, table, bounce }: Memory): void {
  free(...layers.flatMap(tensorsOf), table, bounce);
}

function tensorsOf(layer: LayerMemory) {
  if (layer.kind === "attention") return [layer.cache.k, layer.cache.v];
  const { memory, saved } = layer.state;
  return saved ? [memory, saved] : [memory];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
