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
  for (const { firstRow, rows, format, buffer } of table.shards) {
    pass.dispatch("embed", [ids, buffer, y], {
      parts: weightParts(format, C),
      constants: { K: C, N, FIRST: firstRow, ROWS: rows, LANES },
      groups: [T === 1 ? 1 : (tokens) => tokens],
    });
  }
  return y;
}
