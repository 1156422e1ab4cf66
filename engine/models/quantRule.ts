// What each matrix is kept as on the device. Blocks stay the blocks they are. With a quantisation asked for, matrices of
// floats become its blocks, but for three rules:
//   - the embedding and the head lose more than a layer does: they have at least six bits (Q6_K)
//   - what chooses experts decides in small differences: it stays as it is
//   - rows that are not whole blocks take a type of 32 values with as many bits; rows that have no whole 32, and the
//     vision tower, stay as they are
import { blockFormats, isBlockType, type BlockType } from "../formats/blocks/format.ts";
import type { WeightDtype } from "../formats/checkpoint.ts";
import type { BlockFormat, FloatFormat, WeightFormat } from "../gpu/tensor.ts";

/** The type that a matrix [rows, K] has on the device. */
export function keptAs(
  name: string,
  stored: WeightDtype,
  K: number,
  quant: BlockType | undefined,
): WeightDtype {
  if (quant === undefined || isBlockType(stored) || name.includes("visual.") || isRouter(name)) return stored;
  const wanted = isTable(name) ? tableTypes[quant] : quant;
  if (K % blockFormats[wanted].values === 0) return wanted;
  return K % 32 === 0 ? smallTypes[wanted] : stored;
}

export function formatOf(dtype: WeightDtype): WeightFormat {
  return dtype.toLowerCase() as FloatFormat | BlockFormat;
}

function isTable(name: string): boolean {
  return name.endsWith("embed_tokens.weight") || name === "lm_head.weight";
}

function isRouter(name: string): boolean {
  return name.endsWith("mlp.gate.weight") || name.endsWith("shared_expert_gate.weight");
}

/** Not below six bits. */
const tableTypes: Readonly<Record<BlockType, BlockType>> = {
  ...{ Q2_K: "Q6_K", Q3_K: "Q6_K", Q4_K: "Q6_K", Q5_K: "Q6_K", Q6_K: "Q6_K" },
  ...{ Q4_0: "Q6_K", Q4_1: "Q6_K", Q5_0: "Q6_K", Q5_1: "Q6_K", Q8_0: "Q8_0" },
};

/** Of blocks of 32, with no fewer bits. */
const smallTypes: Readonly<Record<BlockType, BlockType>> = {
  ...{ Q2_K: "Q4_0", Q3_K: "Q4_0", Q4_K: "Q5_0", Q5_K: "Q5_1", Q6_K: "Q8_0" },
  ...{ Q4_0: "Q4_0", Q4_1: "Q4_1", Q5_0: "Q5_0", Q5_1: "Q5_1", Q8_0: "Q8_0" },
};
