// The angles of rotary position embedding, in f32 arithmetic step by step as the reference computes them:
//   inv_freq[i] = theta^(-2i/R)     angle[p, i] = p · inv_freq[i]     i < R/2
// Pairs (i, i + R/2) of a head turn by angle i.
import type { ModelConfig } from "./config.ts";
import type { RopeScaling } from "./ropeSettings.ts";

const f32 = Math.fround;

type Rope = Pick<ModelConfig, "rope">;

/** inv_freq [R/2], scaling included. */
export function inverseFrequencies({ rope }: Rope): Float32Array<ArrayBuffer> {
  const frequencies = new Float32Array(rope.dims / 2);
  for (let i = 0; i < frequencies.length; i++) {
    const power = f32(f32(rope.theta) ** f32((2 * i) / rope.dims));
    frequencies[i] = scaled(f32(1 / power), i, rope.scaling);
  }
  return frequencies;
}

/** (cos, sin) of every angle of positions 0 … positions − 1.   [positions, R/2, 2] */
export function ropeTable(config: Rope, positions: number): Float32Array<ArrayBuffer> {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const table = new Float32Array(positions * half * 2);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = f32(p * frequencies[i]!);
      table[2 * (p * half + i)] = Math.cos(angle);
      table[2 * (p * half + i) + 1] = Math.sin(angle);
    }
  }
  return table;
}

/**
 * Which of the three positions (0 time, 1 height, 2 width) each frequency follows.   [R/2]
 * Interleaved M-RoPE: t h w t h w …, until an axis has its share; the rest is time. All 0 without M-RoPE.
 */
export function ropeAxes({ rope }: Rope): Uint32Array<ArrayBuffer> {
  const [, height, width] = rope.mropeSection ?? [0, 0, 0];
  const share = [0, 3 * height, 3 * width];
  return Uint32Array.from({ length: rope.dims / 2 }, (_, i) => (i < share[i % 3]! ? i % 3 : 0));
}

function scaled(frequency: number, i: number, scaling: RopeScaling): number {
  switch (scaling.type) {
    case "none":
      return frequency;
    case "linear":
      return f32(frequency / f32(scaling.factor));
    case "llama3":
      return llama3(frequency, scaling);
    case "factors":
      return f32(frequency / f32(scaling.factors[i]!));
    default:
      return scaling satisfies never;
  }
}

/** Long waves are stretched by `factor`, short ones kept, those between blended. */
function llama3(frequency: number, s: Extract<RopeScaling, { type: "llama3" }>): number {
  const wavelength = f32(f32(2 * Math.PI) / frequency);
  if (wavelength < s.originalPositions / s.highFreqFactor) return frequency;
  const stretched = f32(frequency / f32(s.factor));
  if (wavelength > s.originalPositions / s.lowFreqFactor) return stretched;
  const waves = f32(s.originalPositions / wavelength);
  const smooth = f32(f32(waves - s.lowFreqFactor) / f32(s.highFreqFactor - s.lowFreqFactor));
  return f32(f32(f32(f32(1 - smooth) * frequency) / f32(s.factor)) + f32(smooth * frequency));
}
