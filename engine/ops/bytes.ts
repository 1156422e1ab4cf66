// x · Wᵀ in bytes: rows of x are rounded to 8 bits by blocks of 32, and multiplied with the codes of W as integers. It is a
// quarter of the data and, where the device multiplies bytes, of the work; what is lost is x's rounding, 0.4 % of a
// block's largest value at most. Hence never in strict mode.
import type { Gpu } from "../gpu/adapter.ts";
import type { Binding, Pass } from "../gpu/pass.ts";
import { fitsSheet } from "../gpu/scratch.ts";
import { dims, isBlockFormat, type Shard, type WeightFormat } from "../gpu/tensor.ts";
import { likesTiles } from "../gpu/tiles.ts";
import type { Source } from "./norm.ts";
import { wideLanes } from "./variants.ts";

/** What multiplies a format's codes of a prompt on a processor (shaders/products); q2_k has two constants beside 32 codes. */
const products: Partial<Record<WeightFormat, string>> = {
  ...{ q4_0: "nibbles", q4_1: "nibbles", q4_k: "nibbles", q8_0: "bytes" },
  ...{ q5_0: "fives", q5_1: "fives", q5_k: "fives", q3_k: "fives", q6_k: "wider" },
};

/** Blocks that have one scale, and one constant, for 32 values, as matmul_bytes takes them. */
const whole: readonly WeightFormat[] = ["q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q8_0"];

/** Whether a shard of a prompt's product may be multiplied in bytes by a processor. */
export function fitsBytes({ tuning }: Gpu, { format }: Shard): boolean {
  return !tuning.strict && products[format] !== undefined;
}

/** The same by a card: its compiler has to know dot4I8Packed. */
export function fitsCardBytes(gpu: Gpu, { format }: Shard): boolean {
  return multipliesBytes(gpu) && whole.includes(format);
}

/** Whether a card's mat-vec may be, with a shard in any type of blocks. */
export function fitsCardMatvec(gpu: Gpu, { format }: Shard): boolean {
  return multipliesBytes(gpu) && isBlockFormat(format);
}

function multipliesBytes({ tuning, report }: Gpu): boolean {
  return !tuning.strict && report.wgslFeatures.includes("packed_4x8_integer_dot_product");
}

/** Of the products of a prompt on a processor: formats that keep a chunk's bits above the others (shaders/high). */
const keepHigh: readonly WeightFormat[] = ["q5_0", "q5_1", "q5_k", "q3_k"];

/** The parts of matmul_bytes_lanes that multiply a shard's codes. */
export function productParts({ format }: Shard): string[] {
  const part = products[format];
  if (part === undefined) throw new Error(`${format} in bytes`);
  const high = keepHigh.includes(format) ? "high/words" : "high/none";
  return [high, "products/pairs", `products/${part}`];
}

/** The same for a mat-vec: by how many products stay exact before they are cut (shaders/products). */
const sums: Partial<Record<WeightFormat, string>> = {
  q4_0: "whole",
  ...{ q4_1: "halves", q4_k: "halves", q5_0: "halves", q2_k: "halves", q3_k: "halves" },
  ...{ q5_1: "pieces", q5_k: "pieces", q6_k: "pieces" },
  q8_0: "each",
};

/** The parts of matvec_tiles that multiply a shard's codes by bytes of x; undefined where it must not. */
export function sumParts({ tuning }: Gpu, format: WeightFormat): readonly string[] | undefined {
  const part = sums[format];
  return tuning.strict || part === undefined ? undefined : ["products/words", `products/${part}`];
}

/** Rows in bytes, as shaders/quantise_rows.wgsl leaves them. */
export interface Bytes {
  /** Where they are: bindings from 8 on of what reads them. */
  readonly places: readonly Binding[];
  /** Reads them there in a kernel of software adapters. */
  readonly part: "bytes/take_buffers" | "bytes/take_texels";
}

/**
 * x: [T, K], or its norm, made on the way; K in whole blocks of 32. In texels where the device reads textures faster, if
 * `texels` will do.
 */
export function quantised(pass: Pass, { x, norm }: Source, texels: boolean): Bytes {
  const { gpu } = pass;
  const [T, K] = dims(x, 2);
  const blocks = K / 32;
  const sheet = texels && likesTiles(gpu) && fitsSheet(gpu, 3 * blocks, T);
  const places = sheet
    ? [pass.sheet(3 * blocks, T, "rows in bytes")]
    : [pass.scratch([T, K / 4], "codes of rows", "u32"), pass.scratch([T, blocks, 2], "factors of rows")];
  const put = sheet ? "bytes/put_texels" : "bytes/put_buffers";
  const parts = ["rows/eight", "rows/whole", "rows/span", "bytes/round", put];
  const rows = (tokens: number) => Math.min(T, tokens);
  if (norm) {
    const { LANES, reduce } = wideLanes(gpu);
    const constants = { K, EPS: norm.eps, OFFSET: norm.offset, LANES };
    pass.dispatch("rms_norm_bytes", [x, places[0], undefined, places[1], undefined, undefined, norm.w], {
      ...{ parts: [...parts, reduce, "rows/normed"], constants, groups: [rows] },
    });
  } else {
    const groups = [Math.ceil(blocks / 64), rows] as const;
    pass.dispatch("quantise_rows", [x, places[0], undefined, places[1]], { parts, constants: { K }, groups });
  }
  return { places, part: sheet ? "bytes/take_texels" : "bytes/take_buffers" };
}
