// q6_k: d · scale · (code − 32). Planes: 4 low bits of the codes · 2 bits above them · signed scale of each 16 values
// · d of each 256.
override ROW: u32 = (K / 256u * 210u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let high = at + K / 8u;
  let scales = high + K / 16u;
  let scale = half(scales + K / 64u, piece / 32u) * signedByte(scales, piece / 2u);
  return valuesOf(joined(nibbles(at, piece), pairs(high, piece), 4u), scale, -32.0 * scale);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let high = at + K / 8u;
  let scales = high + K / 16u;
  let both = vec2f(unpack4xI8(bytePair(scales, block)).xy) * half(scales + K / 64u, block / 8u);
  return nibbles32(at / 4u + block, pairs32(high + 2u * block), both, -32.0 * both);
}
