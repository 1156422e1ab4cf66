// q4_k: d · scale · code − dmin · minimum. Planes: codes of 4 bits · scale and minimum, a byte each, of each 32 values
// · d and dmin of each 256.
override ROW: u32 = (K / 256u * 148u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 8u; // words before its scales
const HALVES = false;
const MINIMA = true;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let both = extractBits(scale_word(row, SCALES + piece / 8u), 4u * (piece & 4u), 16u);
  let dm = halves(row, SCALES + K / 64u, piece / 32u);
  return valuesOf(nibbles(row, 0u, piece), dm.x * f32(both & 255u), -dm.y * f32(both >> 8u));
}

fn block32(row: u32, block: u32) -> Coded {
  let both = bytePair(row, SCALES, block);
  let dm = halves(row, SCALES + K / 64u, block / 8u) * vec2f(f32(both & 255u), -f32(both >> 8u));
  return coded(codes32(words32(row, block)), dm.xx, dm.yy);
}
