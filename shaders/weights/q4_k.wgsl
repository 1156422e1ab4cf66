// q4_k: d · scale · code − dmin · minimum. Planes: codes of 4 bits · scale and minimum, a byte each, of each 32 values
// · d and dmin of each 256.
override ROW: u32 = (K / 256u * 148u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let scales = at + K / 8u;
  let both = extractBits(W[scales + piece / 8u], 4u * (piece & 4u), 16u);
  let dm = halves(scales + K / 64u, piece / 32u);
  return valuesOf(nibbles(at, piece), dm.x * f32(both & 255u), -dm.y * f32(both >> 8u));
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let scales = at + K / 8u;
  let both = bytePair(scales, block);
  let dm = halves(scales + K / 64u, block / 8u) * vec2f(f32(both & 255u), -f32(both >> 8u));
  return nibbles32(at / 4u + block, Bits32(), dm.xx, dm.yy);
}
