import { describe, expect, test } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./halves.ts";

const patterns = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

/** The value of a pattern by the formula of its format, in f64: sign, exponent, fraction; nothing of our code. */
function valueOf(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> fractionBits) % 2 ** exponentBits;
  const fraction = (bits % 2 ** fractionBits) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const formats = [
  { name: "bf16", exponentBits: 8, widen: bf16ToF32, narrow: f32ToBf16 },
  { name: "f16", exponentBits: 5, widen: f16ToF32, narrow: f32ToF16 },
];

describe.each(formats)("$name", ({ exponentBits, widen, narrow }) => {
  const wide = widen(patterns);
  const infinity = (2 ** exponentBits - 1) << (15 - exponentBits);
  const one = (x: number) => narrow(Float32Array.of(x))[0]!;

  test("every pattern has its value, zero its sign", () => {
    const wrong = [...patterns].filter((bits) => !Object.is(wide[bits], valueOf(bits, exponentBits)));
    expect(wrong).toEqual([]);
  });

  test("every pattern comes back, NaN with its sign and payload made quiet", () => {
    const back = narrow(wide);
    const quiet = 1 << (14 - exponentBits);
    const wrong = [...patterns].filter((bits) => {
      const nan = (bits & 0x7fff) > infinity;
      return back[bits] !== (nan ? bits | quiet : bits);
    });
    expect(wrong).toEqual([]);
  });

  test("between any two neighbours: nearest, and the even one from the middle", () => {
    const wrong: number[] = [];
    const step = new Float32Array(1);
    const stepBits = new Uint32Array(step.buffer);
    for (let low = 0; low < infinity; low++) {
      // Above the largest finite number the next "neighbour" is where infinity would stand.
      const high = low + 1 === infinity ? 2 ** (2 ** (exponentBits - 1)) : wide[low + 1]!;
      const middle = (wide[low]! + high) / 2;
      step[0] = middle;
      if (step[0] !== middle) throw new Error(`${middle} is not an f32`);
      stepBits[0]!--;
      const below = step[0];
      stepBits[0]! += 2;
      const above = step[0];
      const even = low % 2 === 0 ? low : low + 1;
      const right = one(below) === low && one(middle) === even && one(above) === low + 1;
      if (!right || one(-middle) !== (even | 0x8000)) wrong.push(low);
    }
    expect(wrong).toEqual([]);
  });

  test("extremes", () => {
    expect(one(3.4028234663852886e38)).toBe(infinity);
    expect(one(2 ** -149)).toBe(0);
    expect(one(-(2 ** -149))).toBe(0x8000);
    expect(one(Infinity)).toBe(infinity);
    expect(one(-Infinity)).toBe(infinity | 0x8000);
    const nan = new Float32Array(Uint32Array.of(0x7f80_0001).buffer); // its payload lies in the lost bits alone
    expect(narrow(nan)[0]! & 0x7fff).toBeGreaterThan(infinity);
  });

  test("a view into a larger buffer", () => {
    expect([...narrow(Float32Array.of(9, 1, 2).subarray(1))]).toEqual([one(1), one(2)]);
    expect([...widen(Uint16Array.of(0, one(1), one(2)).subarray(1))]).toEqual([1, 2]);
  });
});
