// The kernels of x · Wᵀ for cards (and for software without a subgroup of one width), in the ways that suit one card or
// another: what is tuned. The first way of each is the guess, by arithmetic.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/plan.ts";
import type { Weight } from "../gpu/tensor.ts";
import type { Kernel, Source } from "./project.ts";
import { isSoftware, spread, subgroupWidth } from "./variants.ts";

export interface MatvecWay {
  readonly name: string;
  /** How many lanes share a row's sum. */
  readonly LANES: number;
  /** Fours of rows that a workgroup takes one after another. */
  readonly QUADS: number;
  readonly reduce: "reduce/lots_subgroups" | "reduce/lots_workgroup";
  readonly constants: Readonly<Record<string, number>>;
}

const mostLanes = 256;

/**
 * For rows of K values: about four pieces of 8 to a lane is the guess. Sums by subgroups where their width is fixed; else
 * another kernel on the same device might be cut in another way, and the sums of a batch must have one order.
 */
export function matvecWays(gpu: Gpu, K: number): MatvecWay[] {
  const WIDTH = subgroupWidth(gpu);
  const way = (LANES: number, QUADS: number): MatvecWay => ({
    name: `${LANES} lanes, ${QUADS}`,
    ...{ LANES, QUADS },
    reduce: WIDTH === undefined ? "reduce/lots_workgroup" : "reduce/lots_subgroups",
    constants: WIDTH === undefined ? {} : { WIDTH },
  });
  if (isSoftware(gpu)) return [way(WIDTH ?? 8, 4)]; // few cores, so few workgroups
  const least = Math.max(32, WIDTH ?? 32);
  const fit = (lanes: number) => Math.min(mostLanes, Math.max(least, 2 ** Math.round(Math.log2(lanes))));
  const guess = way(fit(K / 32), 1);
  const lanes = [least, 2 * least, 4 * least, 8 * least].filter((n) => n <= fit(K / 8));
  const others = lanes.flatMap((n) => [way(n, 1), way(n, 2)]);
  return [guess, ...others.filter(({ name }) => name !== guess.name)];
}

const mostColumns = 8; // of matvec

/**
 * One token streams W, a token of each of several sequences in the order of one. Longer batches are cut, and read W once
 * for every eight tokens: a matmul would sum in another order.
 */
export function matvec(pass: Pass, T: number, W: Weight, norm: Source["norm"]): Kernel {
  const [N, K] = W.shape;
  // What a sum's order depends on is asked for one token, however many there are.
  const question = { kernel: norm ? "matvec normed" : "matvec", format: W.shards[0]!.format, K, N, T: 1 };
  const { LANES, QUADS, reduce, constants } = pass.gpu.tuning.choose(question, matvecWays(pass.gpu, K));
  const COLUMNS = Math.min(mostColumns, 2 ** Math.ceil(Math.log2(T)));
  const norming = norm ? { EPS: norm.eps, OFFSET: norm.offset } : {};
  return {
    name: "matvec",
    parts: ["step", reduce, norm ? "inputs/deferred" : "inputs/plain"],
    constants: { LANES, QUADS, COLUMNS, ...constants, ...norming },
    step: true,
    groups: ({ rows }) => [
      ...spread(Math.ceil(rows / (4 * QUADS))),
      T === 1 ? 1 : (tokens) => Math.ceil(tokens / COLUMNS),
    ],
  };
}

interface MatmulWay {
  readonly name: string;
  readonly side: 32 | 64;
}

/** Large tiles read less, small ones keep a card busy: large ones where there are enough of them, is the guess. */
function matmulWays(T: number, N: number): MatmulWay[] {
  const [large, small]: MatmulWay[] = [
    { name: "tiles of 64", side: 64 },
    { name: "tiles of 32", side: 32 },
  ] as const;
  return Math.ceil(T / 64) * Math.ceil(N / 64) >= 128 ? [large!, small!] : [small!, large!];
}

export function matmul(pass: Pass, T: number, W: Weight): Kernel {
  const [N, K] = W.shape;
  const question = { kernel: "matmul", format: W.shards[0]!.format, K, N, T };
  const { side } = pass.gpu.tuning.choose(question, matmulWays(T, N));
  return {
    name: "matmul",
    parts: ["step", `tiles/${side}`],
    constants: {},
    step: true,
    groups: ({ rows }) => [Math.ceil(rows / side), (tokens) => Math.ceil(tokens / side)],
  };
}
