// Rows of a table by token id.
import type { Pass } from "../gpu/pass.ts";
import { stepPart } from "../gpu/step.ts";
import { dims, type Tensor, type Weight } from "../gpu/tensor.ts";
import { weightParts, wideLanes } from "./variants.ts";

/** An id that stands for the token which was drawn last in its sequence's slot. */
export const asDrawn = 0xffff_ffff;

/** What a run of decoding finds on the device, of the run before. */
export interface Decoding {
  /** Where ids may be `asDrawn`: the draws' counts (DrawMemory). */
  drawn: Tensor;
  /** u32 [3, T] */
  positions: Tensor;
}

/**
 * y[t] = table[ids[t]].   ids: u32 [T]   table: [N, C], any format   → [T, C].
 * The host refuses ids ≥ N; one that comes here gives a row of zeros. Decoding, each token's row (gpu/step.ts) and positions
 * grow by 1 before anything else of the run reads them, up to the last of the step's `rows`.
 */
export function embed(pass: Pass, ids: Tensor, table: Weight, decoding?: Decoding): Tensor {
  const [T] = dims(ids, 1);
  const [N, C] = table.shape;
  const { drawn, positions } = decoding ?? {};
  const entry = decoding
    ? [stepPart(pass), pass.batch ? "moves/batch" : "moves/sequence", "ids/drawn"]
    : ["ids/given"];
  const y = pass.scratch([T, C], "embed");
  const { LANES } = wideLanes(pass.gpu);
  for (const shard of table.shards) {
    const { parts, constants } = weightParts(shard, C);
    pass.dispatch("embed", [ids, shard.place, y, drawn, drawn && pass.step, positions], {
      parts: [...parts, ...entry],
      constants: {
        ...{ K: C, N, FIRST: shard.firstRow, ROWS: shard.rows, LANES, ...constants },
        ...(drawn ? { STRIDE: drawn.shape[1]! } : {}),
      },
      groups: [T === 1 ? 1 : (tokens) => tokens],
    });
  }
  return y;
}
