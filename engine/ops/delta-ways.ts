// How the chunk kernels of the delta rule deal out their work, and which way suits a device.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Way } from "../gpu/tuning.ts";
import { matrixShapes } from "./cards.ts";
import type { DeltaConfig } from "./delta-state.ts";
import { isSoftware, subgroupWidth } from "./variants.ts";

/** Tokens that are worked on together. */
export const chunkTokens = 32;

/** Products by the device's own matrices of a shape, so many columns of the state to a workgroup. */
export interface DeltaMatrices {
  readonly shape: string;
  readonly columns: 16 | 32;
  /** Lanes of a subgroup. */
  readonly WIDTH: number;
}

/**
 * Among many invocations that meet in workgroup memory, a tile of 4·quads columns of the state to a workgroup; or, where
 * a load is dear, to one subgroup whose lanes hand rows to each other; or by the device's matrices.
 */
export type DeltaVariant = { readonly quads: number } | { readonly lanes: number } | DeltaMatrices;

export interface DeltaWay extends Way {
  readonly variant: DeltaVariant;
}

export function chooseVariant({ gpu, capacity: T }: Pass, config: DeltaConfig): DeltaVariant {
  const { keyHeads, valueHeads, keyDim, valueDim } = config;
  const question = { kernel: "delta", format: "f32", keyHeads, valueHeads, keyDim, valueDim, T } as const;
  return gpu.tuning.choose(question, deltaWays(gpu, config)).variant;
}

/**
 * Registers are the guess. The device's own matrices are taken if they were measured: they must compile and run before they
 * are trusted, and they round keys, queries and what they take of the state to f16, which strict mode does not allow.
 */
export function deltaWays(gpu: Gpu, config: DeltaConfig): DeltaWay[] {
  const variant = plainVariant(gpu, config);
  const guess = { name: "lanes" in variant ? "lanes" : "registers", variant };
  return "lanes" in variant ? [guess] : [guess, ...byMatrices(gpu, config)];
}

/** Lanes in software where their tile of the state fits the workgroup's memory; else tiles of up to 16 columns. */
function plainVariant(gpu: Gpu, { keyDim, valueDim }: DeltaConfig): DeltaVariant {
  const bytesPerQuad = 16 * (keyDim + 2 * chunkTokens);
  const fits = (quads: number) => quads * bytesPerQuad <= gpu.limits.maxComputeWorkgroupStorageSize;
  const lanes = subgroupWidth(gpu);
  if (isSoftware(gpu) && lanes !== undefined && lanes <= 32 && fits(lanes)) return { lanes };
  return { quads: [4, 2].find((quads) => quads <= valueDim / 4 && fits(quads)) ?? 1 };
}

/** Wide tiles read keys more rarely, narrow ones keep more of the device busy. */
function byMatrices(gpu: Gpu, { keyDim, valueDim }: DeltaConfig): DeltaWay[] {
  return matrixShapes(gpu).flatMap(({ shape, WIDTH }) =>
    ([32, 16] as const)
      .filter((columns) => keyDim % 16 === 0 && valueDim % columns === 0)
      .filter((columns) => matrixBytes(keyDim, columns) <= gpu.limits.maxComputeWorkgroupStorageSize)
      .filter((columns) => (Math.ceil(keyDim / 64) * 4 * columns) / WIDTH <= mostHeld)
      .map((columns) => ({
        name: `matrices ${shape}, ${columns} columns`,
        variant: { shape, columns, WIDTH },
        rounds: "f16" as const,
      })),
  );
}

/** Fours of the state that a lane of delta_scan_matrix has room for. */
const mostHeld = 16;

/** Workgroup memory of delta_scan_matrix: operands in f16, results, X. */
function matrixBytes(keyDim: number, columns: number): number {
  return columns * ((keyDim + 3 * chunkTokens + 8) * 2 + 4 * 16 * 4 + chunkTokens * 4) + 8;
}
