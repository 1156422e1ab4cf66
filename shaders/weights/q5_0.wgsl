// q5_0: d · (code − 16). Planes: 4 low bits of the codes · the bit above them · d of each 32 values.
override ROW: u32 = (K / 32u * 22u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 8u + K / 32u; // words before its scales
const HALVES = false;
const MINIMA = false;
const ZERO = 16.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 8u;
  let d = half(row, SCALES, piece / 4u);
  return valuesOf(joined(nibbles(row, 0u, piece), bits(row, high, piece), 4u), d, -ZERO * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let d = half(row, SCALES, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f(-ZERO * d));
}
