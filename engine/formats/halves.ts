// The two 16-bit floats, exactly: every bf16 and f16 is an f32; the way back rounds to nearest, ties to even.
//   bf16  1 sign · 8 exponent · 7 fraction: the upper half of an f32
//   f16   1 sign · 5 exponent · 10 fraction, subnormals of 2^-24
// Arrays are converted through their bits, so that NaN payloads survive.

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** bf16 bits → f32 values. */
export function bf16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** f16 bits → f32 values. */
export function f16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = f16ToF32Bits(bits[i]!);
  return new Float32Array(out.buffer);
}

/** f32 values → bf16 bits. */
export function f32ToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return mapBits(values, f32BitsToBf16);
}

/** f32 values → f16 bits; 65520 and above become infinite. */
export function f32ToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return mapBits(values, f32BitsToF16);
}

/** The value of one f16. */
export function f16ToNumber(bits: number): number {
  const whole = f16ToF32Bits(bits);
  scratchBits[0] = whole;
  return scratch[0]!;
}

/** The f16 nearest to a number, which is rounded to f32 first. */
export function numberToF16(value: number): number {
  scratch[0] = value;
  return f32BitsToF16(scratchBits[0]!);
}

function mapBits(values: Float32Array, convert: (bits: number) => number): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = convert(bits[i]!);
  return out;
}

function f16ToF32Bits(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f80_0000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  scratch[0] = fraction * 2 ** -24; // zero or subnormal: normal as f32, exact
  return sign | scratchBits[0]!;
}

function f32BitsToBf16(bits: number): number {
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40; // a NaN stays one when its low half goes
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function f32BitsToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff);
  if (magnitude >= 0x4780_0000) return sign | 0x7c00; // 2^16 on; what rounds up to it carries into infinity below
  if (magnitude >= 0x3880_0000) {
    return sign | ((magnitude - 0x3800_0000 + 0xfff + ((magnitude >> 13) & 1)) >> 13); // from 2^-14 on: normal
  }
  scratchBits[0] = magnitude;
  // Subnormal: adding 0.5 to a smaller number leaves steps of 2^-24 in an f32, and the addition rounds to even.
  scratch[0] = scratch[0]! + 0.5;
  return sign | (scratchBits[0]! - 0x3f00_0000);
}
