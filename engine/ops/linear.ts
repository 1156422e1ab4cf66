// y = x · Wᵀ and what is done to y before it is written. One token streams W (mat-vec), several tile it (matmul).
import type { Pass } from "../gpu/pass.ts";
import { dims, expectShape, type Tensor, type Weight } from "../gpu/tensor.ts";
import type { NormOptions, Source } from "./norm.ts";
import { project } from "./project.ts";

export interface LinearOptions {
  /** [N] */
  bias?: Tensor;
  /** [T, N], a residual stream. */
  add?: Tensor;
  /** What the biased result goes through: GELU by its tanh approximation, or exact by erf. With bias, without add. */
  activation?: "gelu_tanh" | "gelu_erf";
}

/** y = x · Wᵀ (+ bias) (+ add), or activation(x · Wᵀ + bias).   x: [T, K]   W: [N, K], any format   → [T, N]. */
export function linear(pass: Pass, x: Tensor, W: Weight, options: LinearOptions = {}): Tensor {
  return linearOf(pass, { x }, W, options);
}

/** linear(rmsNorm(x)), in one dispatch where that is faster. */
export function normLinear(
  pass: Pass,
  x: Tensor,
  w: Tensor,
  norm: NormOptions,
  W: Weight,
  options: LinearOptions = {},
): Tensor {
  return linearOf(pass, { x, norm: { ...norm, w } }, W, options);
}

function linearOf(pass: Pass, source: Source, W: Weight, options: LinearOptions): Tensor {
  const { bias, add, activation } = options;
  const [T] = dims(source.x, 2);
  const [N] = W.shape;
  if (bias) expectShape(bias, [N]);
  if (add) expectShape(add, [T, N]);
  if (activation && (add || !bias)) throw new Error(`${activation} wants a bias and no residual stream`);
  const kind = activation ?? (bias && add ? "bias_residual" : bias ? "bias" : add ? "residual" : "plain");
  const y = pass.scratch([T, N], "linear");
  project(pass, source, W, { y, bias, add, parts: [`epilogue/${kind}`, "epilogue/each"] });
  return y;
}

/** y[t,i] = silu(u[t,2i]) · u[t,2i+1] with u = x · Wᵀ.   x: [T, K]   W: [2I, K], gate and up rows alternating   → [T, I]. */
export function swiglu(pass: Pass, x: Tensor, W: Weight): Tensor {
  return swigluOf(pass, { x }, W);
}

/** swiglu(rmsNorm(x)), in one dispatch where that is faster. */
export function normSwiglu(pass: Pass, x: Tensor, w: Tensor, norm: NormOptions, W: Weight): Tensor {
  return swigluOf(pass, { x, norm: { ...norm, w } }, W);
}

function swigluOf(pass: Pass, source: Source, W: Weight): Tensor {
  const [T] = dims(source.x, 2);
  const [N] = W.shape;
  if (N % 2 !== 0) throw new Error(`swiglu wants pairs of rows, got ${N}`);
  const y = pass.scratch([T, N / 2], "swiglu");
  project(pass, source, W, { y, bias: undefined, add: undefined, parts: ["epilogue/swiglu"] });
  return y;
}
