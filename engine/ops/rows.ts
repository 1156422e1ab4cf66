// Choosing rows of an activation.
import type { Pass } from "../gpu/pass.ts";
import { dims, type Tensor } from "../gpu/tensor.ts";

/** The row of the run's last token.   x: [T, C]   → [1, C]; x itself where T is 1. */
export function lastRow(pass: Pass, x: Tensor): Tensor {
  const [T, C] = dims(x, 2);
  if (T === 1) return x;
  const y = pass.scratch([1, C], "last_row");
  pass.dispatch("last_row", [x, y, pass.step], {
    parts: ["step"],
    constants: { C },
    groups: [Math.ceil(C / 64)],
  });
  return y;
}
