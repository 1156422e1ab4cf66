// What a run says of itself, in a small buffer that every kernel on a sequence's memory reads (shaders/steps): how many
// tokens it has, and for each which sequence's memory it is to find in which slot, behind how many tokens.
import type { Gpu } from "./adapter.ts";
import type { Pass } from "./pass.ts";
import { permanent, type Tensor } from "./tensor.ts";

/** Most sequences of one run; the array in shaders/steps/batch.wgsl. */
export const mostSequences = 64;

/** A run of tokens of one sequence, behind `past` others; or of one token of each of several. */
export type Run = ({ tokens: number; past: number; slot?: number } | { each: readonly Place[] }) & {
  /** Where the run moves its tokens on before all else (ops/embed.ts): below how many rows. Default: it does not. */
  rows?: number;
};

/** Where a token goes: its row in its sequence's memory, and that memory's slot. */
export interface Place {
  row: number;
  slot: number;
}

export function createStep(gpu: Gpu, batch: boolean): Tensor {
  return permanent(gpu, "step", [batch ? 4 + 4 * mostSequences : 4], undefined, "u32");
}

/** The values of the buffer, or its beginning. */
export function stepValues(run: Run): Uint32Array<ArrayBuffer> {
  const { rows = 0 } = run;
  if (!("each" in run)) return new Uint32Array([run.tokens, run.past, run.slot ?? 0, rows]);
  const places = run.each.flatMap(({ row, slot }) => [row, slot, 0, 0]);
  return new Uint32Array([run.each.length, 0, 0, rows, ...places]);
}

/** The part that tells a kernel so. */
export function stepPart(pass: Pass): "steps/batch" | "steps/sequence" {
  return pass.batch ? "steps/batch" : "steps/sequence";
}

/** Whether a run has but one token of any sequence: what decoding is, and what its kernels are for. */
export function decodes(pass: Pass): boolean {
  return pass.batch || pass.capacity === 1;
}

/** Sequences of a run of so many tokens, for grids. */
export function sequencesOf(pass: Pass): number | ((tokens: number) => number) {
  return pass.batch ? (tokens) => tokens : 1;
}
