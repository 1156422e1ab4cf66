// The vision tower's own vocabulary; its matrices are ops/linear.ts. A pass of it carries the patches of one picture.
import { EngineError } from "../errors.ts";
import type { Extent, Pass } from "../gpu/pass.ts";
import { dims, expectShape, type Tensor } from "../gpu/tensor.ts";
import { isSoftware, subgroupWidth, wideLanes } from "./variants.ts";

export interface VisionHeads {
  heads: number;
  headDim: number;
}

/** What a patch's place in its picture makes; the host computes it (models/visionTables.ts). */
export interface VisionPlaces {
  /** u32 [T, 4]: rows of the learned grid around the place. */
  corners: Tensor;
  /** [T, 4]: how much of each. */
  cornerWeights: Tensor;
  /** u32 [T, 2]: row and column. */
  places: Tensor;
  /** (cos, sin) of each row or column, [places, D/4, 2]. */
  table: Tensor;
}

const gridAxis = 65_535; // workgroups that one axis of a grid holds
const tileRows = 32; // ROWS of vision_attention
const laneRows = 4; // and of vision_attention_lanes
const widestHead = 128;
const mostFlops = 1e11; // of one dispatch: a second on a slow card

/** y = (x − mean(x)) / sqrt(var(x) + eps) · scale + shift, row by row.   x: [T, C]   norm: [2C], scales, then shifts. */
export function layerNorm(pass: Pass, x: Tensor, norm: Tensor, eps: number): Tensor {
  const [T, C] = dims(x, 2);
  expectShape(norm, [2 * C]);
  expectShape(x, [pass.capacity, C]);
  if (C % 8 !== 0)
    throw new EngineError("unsupported_model", `a vision tower ${C} wide; supported: multiples of 8`);
  const y = pass.scratch([T, C], "vision_norm");
  const { LANES, reduce } = wideLanes(pass.gpu);
  pass.dispatch("vision_norm", [x, norm, y, pass.step], {
    parts: ["rows/eight", "reads/whole", "rows/whole", "weights/f32", "step", reduce],
    constants: { K: C, EPS: eps, LANES },
    groups: oneEach(),
    flops: (tokens) => 8 * tokens * C,
  });
  return y;
}

/** y[t] = x[t] + Σ_i weights[t,i] · table[corners[t,i]].   x: [T, C]   table: [side², C]   → [T, C]. */
export function addPositions(
  pass: Pass,
  x: Tensor,
  table: Tensor,
  { corners, cornerWeights }: VisionPlaces,
): Tensor {
  const [T, C] = dims(x, 2);
  expectShape(x, [pass.capacity, C]);
  expectShape(table, [dims(table, 2)[0], C]);
  expectShape(corners, [T, 4]);
  expectShape(cornerWeights, [T, 4]);
  const y = pass.scratch([T, C], "vision_positions");
  pass.dispatch("vision_positions", [x, table, corners, cornerWeights, y, pass.step], {
    parts: ["step"],
    constants: { C },
    groups: oneEach(),
    flops: (tokens) => 8 * tokens * C,
  });
  return y;
}

/** Turns queries and keys of qkv [T, 3·Nh·D] by their places, in place, and returns it. */
export function visionRope(
  pass: Pass,
  qkv: Tensor,
  shape: VisionHeads,
  { places, table }: VisionPlaces,
): Tensor {
  const { heads, headDim: D } = checked(pass, qkv, shape);
  expectShape(places, [pass.capacity, 2]);
  expectShape(table, [dims(table, 3)[0], D / 4, 2]);
  pass.dispatch("vision_rope", [qkv, places, table, pass.step], {
    parts: ["step"],
    constants: { HEADS: heads, D },
    groups: oneEach(),
    flops: (tokens) => 6 * tokens * heads * D,
  });
  return qkv;
}

/** y[t,h] = Σ_k softmax_k(q[t,h] · k[k,h] · D^-½) · v[k,h] over all patches.   qkv: [T, 3·Nh·D]   → [T, Nh·D]. */
export function visionAttention(pass: Pass, qkv: Tensor, shape: VisionHeads): Tensor {
  const { heads, headDim: D } = checked(pass, qkv, shape);
  const y = pass.scratch([pass.capacity, heads * D], "vision_attention");
  const width = subgroupWidth(pass.gpu);
  const lanes = isSoftware(pass.gpu) && width !== undefined;
  const [kernel, group] = lanes ? ["vision_attention_lanes", laneRows] : ["vision_attention", tileRows];
  // A large picture's attention would hold the card for longer than its driver allows: it goes in parts.
  const part = Math.max(1, Math.floor(mostFlops / (4 * pass.capacity * heads * D) / tileRows)) * tileRows;
  for (let first = 0; first < pass.capacity; first += part) {
    const rows = (tokens: number) => Math.min(Math.max(tokens - first, 0), part);
    pass.dispatch(kernel, [qkv, y, pass.step], {
      parts: ["step"],
      constants: { HEADS: heads, D, FIRST: first, ...(lanes ? { LANES: width } : {}) },
      groups: [(tokens) => Math.ceil(rows(tokens) / group), heads],
      flops: (tokens) => 4 * heads * D * tokens * rows(tokens),
    });
  }
  return y;
}

/** x[t] = pictures[t] where chosen[t] is 1, in place; returns x.   x, pictures: [T, C]   chosen: u32 [T] */
export function placePictures(pass: Pass, x: Tensor, pictures: Tensor, chosen: Tensor): Tensor {
  const [T, C] = dims(x, 2);
  expectShape(pictures, [T, C]);
  expectShape(chosen, [T]);
  pass.dispatch("vision_rows", [x, pictures, chosen], {
    constants: { C },
    groups: [T === 1 ? 1 : (tokens) => tokens],
  });
  return x;
}

/** A workgroup for each patch, on two axes where one has not enough; the kernels skip what is too many. */
function oneEach(): [Extent, Extent] {
  const lines = (tokens: number) => Math.ceil(tokens / gridAxis);
  return [(tokens) => Math.ceil(tokens / lines(tokens)), lines];
}

function checked(pass: Pass, qkv: Tensor, shape: VisionHeads): VisionHeads {
  const { heads, headDim } = shape;
  expectShape(qkv, [pass.capacity, 3 * heads * headDim]);
  if (headDim % 4 === 0 && headDim <= widestHead) return shape;
  const supported = `multiples of 4 up to ${widestHead}`;
  throw new EngineError("unsupported_model", `vision heads ${headDim} wide; supported: ${supported}`);
}
