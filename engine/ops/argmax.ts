// The greedy choice.
import type { Pass } from "../gpu/plan.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { isSoftware, rowsPart } from "./variants.ts";

/** The index of the largest logit, the lowest of equals; NaN never wins (0 if all are).   [1, V] → u32 [1]. */
export function argmax(pass: Pass, logits: Tensor): Tensor {
  const [, V] = dims(logits, 2);
  expectShape(logits, [1, V]);
  const pieces = Math.ceil(V / 8);
  const perGroup = Math.ceil(pieces / (isSoftware(pass.gpu) ? 16 : 128));
  const groups = Math.ceil(pieces / perGroup);
  const LANES = isSoftware(pass.gpu) ? 8 : 64;
  const blocks = pass.scratch([groups, 2], "argmax_blocks", "u32");
  pass.dispatch("argmax_blocks", [logits, blocks], {
    parts: ["rows/eight", rowsPart(V), "reduce/best"],
    constants: { K: V, PIECES: perGroup, LANES },
    groups: [groups],
  });
  const y = pass.scratch([1], "argmax", "u32");
  pass.dispatch("argmax_pick", [blocks, y], {
    parts: ["reduce/best"],
    constants: { GROUPS: groups, LANES },
    groups: [1],
  });
  return y;
}
