// y = x · Wᵀ and what is done to y before it is written. One token streams W (mat-vec), several tile it (matmul).
import type { Pass } from "../gpu/plan.ts";
import { dims, expectShape, type Shard, type Tensor, type Weight } from "../gpu/tensor.ts";
import { rmsNorm, type NormOptions } from "./norm.ts";
import { isSoftware, rowLanes, rowsPart, spread, subgroupWidth } from "./variants.ts";

export interface LinearOptions {
  /** [N] */
  bias?: Tensor;
  /** [T, N], a residual stream. */
  add?: Tensor;
}

/** y = x · Wᵀ (+ bias) (+ add).   x: [T, K]   W: [N, K], any format   → [T, N]. */
export function linear(pass: Pass, x: Tensor, W: Weight, { bias, add }: LinearOptions = {}): Tensor {
  const [T] = dims(x, 2);
  const [N] = W.shape;
  if (bias) expectShape(bias, [N]);
  if (add) expectShape(add, [T, N]);
  const kind = bias && add ? "bias_residual" : bias ? "bias" : add ? "residual" : "plain";
  const y = pass.scratch([T, N], "linear");
  project(pass, x, W, { y, bias, add, parts: [`epilogue/${kind}`, "epilogue/each"] });
  return y;
}

/** y[t,i] = silu(u[t,2i]) · u[t,2i+1] with u = x · Wᵀ.   x: [T, K]   W: [2I, K], gate and up rows alternating   → [T, I]. */
export function swiglu(pass: Pass, x: Tensor, W: Weight): Tensor {
  const [T] = dims(x, 2);
  const [N] = W.shape;
  if (N % 2 !== 0) throw new Error(`swiglu wants pairs of rows, got ${N}`);
  const y = pass.scratch([T, N / 2], "swiglu");
  project(pass, x, W, { y, bias: undefined, add: undefined, parts: ["epilogue/swiglu"] });
  return y;
}

/** linear(rmsNorm(x)). */
export function normLinear(
  pass: Pass,
  x: Tensor,
  w: Tensor,
  norm: NormOptions,
  W: Weight,
  options: LinearOptions = {},
): Tensor {
  return linear(pass, rmsNorm(pass, x, w, norm), W, options);
}

/** swiglu(rmsNorm(x)). */
export function normSwiglu(pass: Pass, x: Tensor, w: Tensor, norm: NormOptions, W: Weight): Tensor {
  return swiglu(pass, rmsNorm(pass, x, w, norm), W);
}

interface Epilogue {
  readonly y: Tensor;
  readonly bias: Tensor | undefined;
  readonly add: Tensor | undefined;
  readonly parts: readonly string[];
}

interface Kernel {
  readonly name: "matvec" | "matmul" | "matmul_lanes";
  readonly parts: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
  /** Workgroups for a shard's rows. */
  groups(shard: Shard): Parameters<Pass["dispatch"]>[2]["groups"];
}

/** One dispatch per shard, each writing its own columns of y. */
function project(pass: Pass, x: Tensor, W: Weight, { y, bias, add, parts }: Epilogue): void {
  const [T, K] = dims(x, 2);
  const [N] = W.shape;
  expectShape(W, [N, K]);
  if (T !== 1 && T !== pass.capacity) throw new Error(`${T} rows in a pass for ${pass.capacity} tokens`);
  const kernel = T === 1 ? matvec(pass) : matmul(pass, N);
  const step = T === 1 ? undefined : pass.step;
  for (const shard of W.shards) {
    pass.dispatch(kernel.name, [x, shard.buffer, y, step, bias, add], {
      parts: ["rows/eight", rowsPart(K), `weights/${W.format}`, ...kernel.parts, ...parts],
      constants: { K, N, FIRST: shard.firstRow, ROWS: shard.rows, ...kernel.constants },
      groups: kernel.groups(shard),
      flops: (tokens) => 2 * Math.min(T, tokens) * shard.rows * K,
    });
  }
}

function matvec(pass: Pass): Kernel {
  const { LANES, reduce } = rowLanes(pass.gpu);
  const groups = ({ rows }: Shard) => spread(Math.ceil(rows / 4));
  return { name: "matvec", parts: [reduce], constants: { LANES }, groups };
}

function matmul(pass: Pass, N: number): Kernel {
  const width = subgroupWidth(pass.gpu);
  return isSoftware(pass.gpu) && width !== undefined ? matmulLanes(width) : matmulTiles(pass.capacity, N);
}

function matmulLanes(LANES: number): Kernel {
  const SPAN = Math.min(LANES, 8);
  return {
    name: "matmul_lanes",
    parts: ["step"],
    constants: { LANES, SPAN },
    groups: ({ rows }) => [(tokens) => Math.ceil(tokens / (2 * SPAN)), Math.ceil(rows / (4 * LANES))],
  };
}

/** Large tiles read less, small ones keep a card busy: large ones only where there are enough of them. */
function matmulTiles(T: number, N: number): Kernel {
  const side = Math.ceil(T / 64) * Math.ceil(N / 64) >= 128 ? 64 : 32;
  return {
    name: "matmul",
    parts: ["step", `tiles/${side}`],
    constants: {},
    groups: ({ rows }) => [Math.ceil(rows / side), (tokens) => Math.ceil(tokens / side)],
  };
}
