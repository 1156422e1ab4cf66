// The numbers of the GGUF format: element types of tensors, value types of metadata.

export interface ElementType {
  readonly name: string;
  /** Values of a block, and its bytes. */
  readonly values: number;
  readonly bytes: number;
}

/** By number. Types that we cannot compute with are here for their size: a file may hold them in other tensors. */
export const elementTypes: ReadonlyMap<number, ElementType> = new Map(
  (
    [
      [0, "F32", 1, 4],
      [1, "F16", 1, 2],
      [2, "Q4_0", 32, 18],
      [3, "Q4_1", 32, 20],
      [6, "Q5_0", 32, 22],
      [7, "Q5_1", 32, 24],
      [8, "Q8_0", 32, 34],
      [9, "Q8_1", 32, 36],
      [10, "Q2_K", 256, 84],
      [11, "Q3_K", 256, 110],
      [12, "Q4_K", 256, 144],
      [13, "Q5_K", 256, 176],
      [14, "Q6_K", 256, 210],
      [15, "Q8_K", 256, 292],
      [16, "IQ2_XXS", 256, 66],
      [17, "IQ2_XS", 256, 74],
      [18, "IQ3_XXS", 256, 98],
      [19, "IQ1_S", 256, 50],
      [20, "IQ4_NL", 32, 18],
      [21, "IQ3_S", 256, 110],
      [22, "IQ2_S", 256, 82],
      [23, "IQ4_XS", 256, 136],
      [24, "I8", 1, 1],
      [25, "I16", 1, 2],
      [26, "I32", 1, 4],
      [27, "I64", 1, 8],
      [28, "F64", 1, 8],
      [29, "IQ1_M", 256, 56],
      [30, "BF16", 1, 2],
      [34, "TQ1_0", 256, 54],
      [35, "TQ2_0", 256, 66],
      [39, "MXFP4", 32, 17],
    ] as const
  ).map(([type, name, values, bytes]) => [type, { name, values, bytes }]),
);

export const elementNumbers: ReadonlyMap<string, number> = new Map(
  [...elementTypes].map(([type, { name }]) => [name, type]),
);

/** Metadata value types in the order of their numbers. */
export const valueTypes = [
  ...([
    "u8",
    "i8",
    "u16",
    "i16",
    "u32",
    "i32",
    "f32",
    "bool",
    "string",
    "array",
    "u64",
    "i64",
    "f64",
  ] as const),
] as const;

export type ScalarType = Exclude<(typeof valueTypes)[number], "array">;

/** The fewest bytes that a value takes. */
export const valueBytes: Readonly<Record<(typeof valueTypes)[number], number>> = {
  ...{
    u8: 1,
    i8: 1,
    u16: 2,
    i16: 2,
    u32: 4,
    i32: 4,
    f32: 4,
    bool: 1,
    string: 8,
    array: 12,
    u64: 8,
    i64: 8,
    f64: 8,
  },
};

/** Integers beyond 2^53 are bigints. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];
export type Metadata = ReadonlyMap<string, GgufValue>;

export const defaultAlignment = 32;
