// q3_k: d · scale · (code − 4). Planes: 2 low bits of the codes · the bit above them · signed scale of each 16 values
// · d of each 256.
override ROW: u32 = (K / 256u * 114u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let high = at + K / 16u;
  let scales = high + K / 32u;
  let scale = half(scales + K / 64u, piece / 32u) * signedByte(scales, piece / 2u);
  return valuesOf(joined(pairs(at, piece), bits(high, piece), 2u), scale, -4.0 * scale);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let high = at + K / 16u;
  let scales = high + K / 32u;
  let both = vec2f(unpack4xI8(bytePair(scales, block)).xy) * half(scales + K / 64u, block / 8u);
  let low = pairs32(at + 2u * block);
  let above = bits32(high + block);
  return Coded(low.lo | (above.lo << vec4u(2u)), low.hi | (above.hi << vec4u(2u)), both, -4.0 * both);
}
