// q4_0: d · (code − 8). Planes: codes of 4 bits · d of each 32 values.
override ROW: u32 = (K / 32u * 18u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 8u; // words before its scales
const HALVES = false;
const MINIMA = false;
const ZERO = 8.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let d = half(row, SCALES, piece / 4u);
  return valuesOf(nibbles(row, 0u, piece), d, -ZERO * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let d = half(row, SCALES, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f(-ZERO * d));
}
