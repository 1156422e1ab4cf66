// What a model file makes: a network is weights bound once and a closure that records one forward pass. T says
// whether that is prefill or decode; a network knows nothing of requests, batches or sampling.
import type { DeltaState } from "../ops/delta.ts";
import type { KvCache } from "../ops/kv-cache.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Tensor } from "../gpu/tensor.ts";

/** What the sequences remember in one layer. */
export type LayerMemory = { kind: "attention"; cache: KvCache } | { kind: "delta"; state: DeltaState };

/** The memory of several sequences, a layer each, and how long each may grow. */
export interface Memory {
  readonly layers: readonly LayerMemory[];
  /** Sequences. */
  readonly slots: number;
  /** Tokens of the longest. */
  readonly capacity: number;
  /** Of the caches, PAGE tokens each. */
  readonly pages: number;
  /** u32 [slots, pages of the longest]: whose the pages are. */
  readonly table: Tensor;
  /** Saved states that there is room for. */
  readonly snapshots: number;
  /** Bytes of a page, and of a state, in all layers. */
  readonly pageBytes: number;
  readonly stateBytes: number;
  /** Where a page passes through on its way to another place in its own buffer. */
  readonly bounce: Tensor;
  readonly bytes: number;
}

/** What a run reads besides the memory. */
export interface Inputs {
  /** u32 [T] */
  ids: Tensor;
  /** Decoding, where ids may be op.asDrawn: what was drawn (DrawMemory.counts). */
  drawn?: Tensor;
  /** u32 [3, T]: position on the t, h and w axis; all equal for text. Decoding, the embedding moves them on. */
  positions: Tensor;
  /** (cos, sin) of each position and frequency, f32 [positions, R/2, 2]. */
  ropeTable: Tensor;
  /** Rows that take the place of tokens, where the run may have pictures: [T, H], and u32 [T], 1 for those tokens. */
  pictures?: { rows: Tensor; chosen: Tensor };
}

/** x [T, C] → [T, C], residual included. */
export type Block = (pass: Pass, x: Tensor, memory: LayerMemory, inputs: Inputs) => Tensor;

export interface Network {
  /** Whether tokens enter here: where the layers are divided, in the first stage. */
  readonly embeds: boolean;
  /** ids → the residual stream after the last layer (of a stage: its own last), [T, C]. */
  body(pass: Pass, inputs: Inputs, memory: Memory): Tensor;
  /**
   * Residual stream [T, C] → logits [T, V]; of an embedding checkpoint → what is pooled, [T, C]. Where the layers are
   * divided, the last stage's stream comes to the first, and of the others there is nothing.
   */
  head(pass: Pass, x: Tensor): Tensor | undefined;
}
