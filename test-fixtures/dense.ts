// For tests of the dense kernels: seeded values, weights packed in a format, and the devices whose variants to force.
import { blockFormats, emptyBlock, writeBlock, type BlockType } from "../engine/formats/blocks/format.ts";
import { dequantisePlanes, packPlanes } from "../engine/formats/blocks/planes.ts";
import { quantiseToPlanes } from "../engine/formats/quantise/quantise.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../engine/formats/halves.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Subgroups } from "../engine/gpu/subgroups.ts";
import { isBlockFormat, type WeightFormat } from "../engine/gpu/tensor.ts";

/** Values in −1 … 1 with a few large ones, as activations have: the same for the same seed. */
export function noise(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed * 2654435761 + 12345;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => (next() * 2 - 1) * (next() < 0.01 ? 20 : 1));
}

/** Rows of K values as a weight holds them: the packed bytes, and what those bytes mean. */
export function pack(
  format: WeightFormat,
  values: Float32Array<ArrayBuffer>,
  K: number,
): { bytes: Uint8Array<ArrayBuffer>; values: Float32Array<ArrayBuffer> } {
  if (isBlockFormat(format)) {
    const type = format.toUpperCase() as BlockType;
    const bytes = quantiseToPlanes(type, K, values);
    return { bytes, values: dequantisePlanes(type, K, bytes) };
  }
  if (format === "f32") return { bytes: new Uint8Array(values.buffer), values };
  const bits = format === "f16" ? f32ToF16(values) : f32ToBf16(values);
  const kept = format === "f16" ? f16ToF32(bits) : bf16ToF32(bits);
  return { bytes: new Uint8Array(bits.buffer), values: kept };
}

/** Two rows of a block each: all of its codes as large, and as small, as they can be. */
export function largestCodes(format: WeightFormat): {
  K: number;
  bytes: Uint8Array<ArrayBuffer>;
  values: Float32Array<ArrayBuffer>;
} {
  const type = format.toUpperCase() as BlockType;
  const { signed, bits, values: K } = blockFormats[type];
  const rows = (signed ? [127, -128] : [2 ** bits - 1, 0]).map((code) => blockOf(type, code));
  const bytes = packPlanes(type, K, Buffer.concat(rows));
  return { K, bytes, values: dequantisePlanes(type, K, bytes) };
}

/** Of one code, with all scales 1 and minima as small as they can be. */
function blockOf(type: BlockType, code: number): Uint8Array {
  const format = blockFormats[type];
  const block = emptyBlock();
  block.codes.fill(code & 255);
  block.d = 0x3c00; // 1 as f16
  block.dmin = format.min ? 0x3c00 : 0;
  const bytes = new Uint8Array(format.bytes);
  writeBlock(format, block, new DataView(bytes.buffer), 0);
  return bytes;
}

/** The same device as it is, and as if it were a card without subgroups: the variants that an op chooses between. */
export function guises(gpu: Gpu): [name: string, gpu: Gpu][] {
  return [
    ["as it is", gpu],
    ["as a card without subgroups", asCard(withoutSubgroups(gpu))],
  ];
}

export function asCard(gpu: Gpu): Gpu {
  return { ...gpu, report: { ...gpu.report, kind: "hardware" } };
}

export function withoutSubgroups(gpu: Gpu): Gpu {
  return { ...gpu, has: { ...gpu.has, subgroups: false }, subgroupSize: { min: 1, max: 1, width: undefined } };
}

/** Of a device with one width; of one with several, whose kernels are held to this one; of one that cannot do that. */
export const oneWidth = (width: number): Subgroups => ({ min: width, max: width, width });
export const heldTo = (width: number): Subgroups => ({ min: width / 2, max: 2 * width, width });
export const varying: Subgroups = { min: 8, max: 32, width: undefined };

/** The device as one whose subgroups have several widths, and whose kernels are held to the one that it has. */
export function held(gpu: Gpu): Gpu {
  return { ...gpu, subgroupSize: heldTo(gpu.subgroupSize.width!) };
}

/** Notes every module with subgroups that is compiled from now on: whether it is held to a width. */
export function watchHeld({ device }: Gpu): { name: string; held: boolean }[] {
  const seen: { name: string; held: boolean }[] = [];
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (asked) => {
    if (/^enable subgroups;/m.test(asked.code))
      seen.push({ name: asked.label!, held: asked.code.includes("@subgroup_size(") });
    return create(asked);
  };
  return seen;
}

/** The first rows of a [capacity, width] tensor are `values`, the rest NaN, which no kernel may let through. */
export function poisoned(values: Float32Array, capacity: number, width: number): Float32Array<ArrayBuffer> {
  const padded = new Float32Array(capacity * width).fill(NaN);
  padded.set(values);
  return padded;
}

/** Root of the mean square of the difference, by that of the values. */
export function relative(got: Float32Array, want: Float32Array): number {
  const square = (value: number) => value * value;
  const error = got.reduce((sum, value, i) => sum + square(value - want[i]!), 0);
  return Math.sqrt(error / want.reduce((sum, value) => sum + square(value), 0));
}
