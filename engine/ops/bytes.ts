// x · Wᵀ in bytes: rows of x are rounded to 8 bits by blocks of 32, and multiplied with the codes of W as integers. It is a
// quarter of the data and, where the device multiplies bytes, of the work; what is lost is x's rounding, 0.4 % of a
// block's largest value at most. Hence never in strict mode. Tokens go that way on processors alone (matvec_tiles).
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { dims, type Shard, type Tensor, type WeightFormat } from "../gpu/tensor.ts";

/** Blocks that have one scale, and one constant, for 32 values, and what multiplies their codes on a processor. */
const products: Partial<Record<WeightFormat, string>> = {
  ...{ q4_0: "products/nibbles", q4_1: "products/nibbles", q4_k: "products/nibbles" },
  q8_0: "products/bytes",
};

/** Whether a shard may be multiplied in bytes. */
export function fitsBytes({ tuning }: Gpu, { format }: Shard): boolean {
  return !tuning.strict && products[format] !== undefined;
}

/** Whether the device's compiler knows dot4I8Packed. */
export function multipliesBytes({ report }: Gpu): boolean {
  return report.wgslFeatures.includes("packed_4x8_integer_dot_product");
}

/** The parts of matmul_bytes_lanes that multiply a shard's codes. */
export function productParts({ format }: Shard): string[] {
  const part = products[format];
  if (part === undefined) throw new Error(`${format} in bytes`);
  return ["products/pairs", part];
}

/** The same for a mat-vec: by how many products stay exact before they are cut (shaders/products). */
const sums: Partial<Record<WeightFormat, string>> = {
  ...{ q4_0: "halves", q4_1: "halves", q4_k: "halves", q5_0: "halves", q2_k: "halves", q3_k: "halves" },
  ...{ q5_1: "pieces", q5_k: "pieces", q6_k: "pieces" },
  q8_0: "each",
};

/** The parts of matvec_tiles that multiply a shard's codes by bytes of x; undefined where it must not. */
export function sumParts({ tuning }: Gpu, format: WeightFormat): readonly string[] | undefined {
  const part = sums[format];
  return tuning.strict || part === undefined ? undefined : ["products/words", `products/${part}`];
}

/** Rows in bytes (shaders/quantise_rows.wgsl). */
export interface Bytes {
  /** [T, K / 4], four codes to a word. */
  readonly codes: Tensor;
  /** [T, K / 32, 2] */
  readonly factors: Tensor;
}

/** x: [T, K], K in whole blocks of 32. */
export function quantised(pass: Pass, x: Tensor): Bytes {
  const [T, K] = dims(x, 2);
  const codes = pass.scratch([T, K / 4], "codes of rows", "u32");
  const factors = pass.scratch([T, K / 32, 2], "factors of rows");
  pass.dispatch("quantise_rows", [x, codes, undefined, factors], {
    parts: ["rows/eight", "rows/whole"],
    constants: { K },
    groups: [Math.ceil(K / 32 / 64), (tokens) => Math.min(T, tokens)],
  });
  return { codes, factors };
}
