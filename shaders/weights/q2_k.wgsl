// q2_k: d · scale · code − dmin · minimum. Planes: codes of 2 bits · scale (low) and minimum (high nibble) of each 16
// values · d and dmin of each 256.
override ROW: u32 = (K / 256u * 84u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let scales = at + K / 16u;
  let both = byte(scales, piece / 2u);
  let dm = halves(scales + K / 64u, piece / 32u);
  return valuesOf(pairs(at, piece), dm.x * f32(both & 15u), -dm.y * f32(both >> 4u));
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let scales = at + K / 16u;
  let both = unpack4xU8(bytePair(scales, block)).xy;
  let dm = halves(scales + K / 64u, block / 8u);
  let codes = pairs32(at + 2u * block);
  return Coded(codes.lo, codes.hi, dm.x * vec2f(both & vec2u(15u)), -dm.y * vec2f(both >> vec2u(4u)));
}
