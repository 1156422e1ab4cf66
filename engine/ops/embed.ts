// Rows of a table by token id.
import type { Pass } from "../gpu/plan.ts";
import { dims, type Tensor, type Weight } from "../gpu/tensor.ts";
import { weightParts, wideLanes } from "./variants.ts";

/**
 * y[t] = table[ids[t]].   ids: u32 [T]   table: [N, C], any format   → [T, C].
 * The host refuses ids ≥ N; one that comes here gives a row of zeros.
 */
export function embed(pass: Pass, ids: Tensor, table: Weight): Tensor {
  const [T] = dims(ids, 1);
  const [N, C] = table.shape;
  const y = pass.scratch([T, C], "embed");
  const { LANES } = wideLanes(pass.gpu);
  for (const shard of table.shards) {
    const { parts, constants } = weightParts(shard, C);
    pass.dispatch("embed", [ids, shard.place, y], {
      parts,
      constants: { K: C, N, FIRST: shard.firstRow, ROWS: shard.rows, LANES, ...constants },
      groups: [T === 1 ? 1 : (tokens) => tokens],
    });
  }
  return y;
}
