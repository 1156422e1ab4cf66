// q4_1: d · code + min. Planes: codes of 4 bits · d and min of each 32 values.
override ROW: u32 = (K / 32u * 20u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 8u; // words before its scales
const HALVES = false;
const MINIMA = true;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let dm = halves(row, SCALES, piece / 4u);
  return valuesOf(nibbles(row, 0u, piece), dm.x, dm.y);
}

fn block32(row: u32, block: u32) -> Coded {
  let dm = halves(row, SCALES, block);
  return coded(codes32(words32(row, block)), dm.xx, dm.yy);
}
