// Root-mean-square norm of rows.
import type { Pass } from "../gpu/pass.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { rowsPart, wideLanes } from "./variants.ts";

export interface NormOptions {
  eps: number;
  /** 1 where the checkpoint stores w minus one (Qwen3.5). */
  offset: 0 | 1;
}

/** Rows that ops take: x [T, K], or its norm. */
export interface Source {
  readonly x: Tensor;
  readonly norm?: NormOptions & { readonly w: Tensor };
}

/** y = x / sqrt(mean(x²) + eps) · (offset + w), row by row.   x: [T, C]   w: [C]   → [T, C]. */
export function rmsNorm(pass: Pass, x: Tensor, w: Tensor, { eps, offset }: NormOptions): Tensor {
  const [T, C] = dims(x, 2);
  expectShape(w, [C]);
  const y = pass.scratch([T, C], "rms_norm");
  const { LANES, reduce } = wideLanes(pass.gpu);
  pass.dispatch("rms_norm", [x, undefined, y, undefined, undefined, undefined, w], {
    parts: ["rows/eight", rowsPart(C), reduce, "rows/normed"],
    constants: { K: C, EPS: eps, OFFSET: offset, LANES },
    groups: [T === 1 ? 1 : (tokens) => tokens],
    flops: (tokens) => 4 * Math.min(T, tokens) * C,
  });
  return y;
}

/** What is meant, as rows. */
export function plainOf(pass: Pass, { x, norm }: Source): Tensor {
  return norm ? rmsNorm(pass, x, norm.w, norm) : x;
}
