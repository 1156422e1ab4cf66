// The greedy choice.
import type { Pass } from "../gpu/plan.ts";
import { dims, type Tensor } from "../gpu/tensor.ts";
import { isSoftware, rowsPart } from "./variants.ts";

/** The index of each row's largest logit, the lowest of equals; NaN never wins (0 if all are).   [T, V] → u32 [T]. */
export function argmax(pass: Pass, logits: Tensor): Tensor {
  const [T, V] = dims(logits, 2);
  const rows = T === 1 ? 1 : (tokens: number) => tokens;
  const pieces = Math.ceil(V / 8);
  const perGroup = Math.ceil(pieces / (isSoftware(pass.gpu) ? 16 : 128));
  const groups = Math.ceil(pieces / perGroup);
  const LANES = isSoftware(pass.gpu) ? 8 : 64;
  const blocks = pass.scratch([T, groups, 2], "argmax_blocks", "u32");
  pass.dispatch("argmax_blocks", [logits, blocks], {
    parts: ["rows/eight", rowsPart(V), "reduce/best"],
    constants: { K: V, PIECES: perGroup, LANES },
    groups: [groups, rows],
  });
  const y = pass.scratch([T], "argmax", "u32");
  pass.dispatch("argmax_pick", [blocks, y], {
    parts: ["reduce/best"],
    constants: { GROUPS: groups, LANES },
    groups: [rows],
  });
  return y;
}
