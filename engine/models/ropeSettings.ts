// Rope settings stand in config.json in two layouts: flat (rope_theta, rope_scaling, partial_rotary_factor) and, in
// newer files, together in rope_parameters. Both may be there; the inner value wins, as in transformers.
import {
  check,
  damaged,
  FactorScaling,
  LinearScaling,
  Llama3Scaling,
  unsupported,
  type Place,
  type RopeConfig,
  type TextConfig,
} from "./configSchema.ts";

export type RopeScaling =
  | { type: "none" }
  | { type: "linear"; factor: number }
  | {
      type: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      /** Positions of the training before the scaling. */
      originalPositions: number;
    }
  /** Frequency i is divided by factors[i].   [R/2] */
  | { type: "factors"; factors: readonly number[] };

export interface RopeSettings {
  theta: number;
  /** Rotary width R: the first R of each head's dimensions turn. */
  dims: number;
  scaling: RopeScaling;
  /** Interleaved M-RoPE: how many of the R/2 frequencies follow time, height and width. */
  mropeSection: readonly [t: number, h: number, w: number] | undefined;
}

/** What the family adds: its head width, its share of rotary dimensions, whether its positions have three axes. */
export interface RopeFamily {
  headDim: number;
  rotary: number;
  mrope: boolean;
}

/** Errors: bad_checkpoint, unsupported_model with the value. */
export function ropeSettings(text: TextConfig, family: RopeFamily, place: Place): RopeSettings {
  const key = text.rope_scaling ? "rope_scaling" : "rope_parameters";
  const inner: RopeConfig = { ...text.rope_parameters, ...text.rope_scaling };
  const rotary = inner.partial_rotary_factor ?? text.partial_rotary_factor ?? family.rotary;
  const dims = Math.floor(family.headDim * rotary);
  if (dims > family.headDim || dims < 2 || dims % 2 !== 0) {
    throw damaged(
      place,
      "partial_rotary_factor",
      `${rotary} makes ${dims} of ${family.headDim} dimensions rotary`,
    );
  }
  if (family.mrope && inner.mrope_interleaved === false) {
    throw unsupported(place, `${key}.mrope_interleaved`, "is false; supported: true");
  }
  return {
    theta: inner.rope_theta ?? text.rope_theta ?? 10_000,
    dims,
    scaling: scalingOf(inner, dims, { ...place, path: `${place.path}${key}.` }),
    mropeSection: family.mrope ? (inner.mrope_section ?? [11, 11, 10]) : undefined,
  };
}

function scalingOf(inner: RopeConfig, dims: number, place: Place): RopeScaling {
  const type = inner.rope_type ?? inner.type ?? "default";
  if (type === "default") return { type: "none" };
  if (type === "linear") return { type, factor: check(LinearScaling, inner, place).factor };
  if (type === "llama3") {
    const scaling = check(Llama3Scaling, inner, place);
    return {
      type,
      factor: scaling.factor,
      lowFreqFactor: scaling.low_freq_factor,
      highFreqFactor: scaling.high_freq_factor,
      originalPositions: scaling.original_max_position_embeddings,
    };
  }
  if (type === "factors") {
    const { factors } = check(FactorScaling, inner, place);
    if (factors.length === dims / 2) return { type, factors };
    throw damaged(place, "factors", `has ${factors.length} values for ${dims / 2} frequencies`);
  }
  throw unsupported(
    place,
    inner.rope_type ? "rope_type" : "type",
    `is "${type}"; supported: default, linear, llama3`,
  );
}
