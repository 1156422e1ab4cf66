// q4_0: d · (code − 8). Planes: codes of 4 bits · d of each 32 values.
override ROW: u32 = (K / 32u * 18u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let d = half(at + K / 8u, piece / 4u);
  return valuesOf(nibbles(at, piece), d, -8.0 * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let d = half(at + K / 8u, block);
  return nibbles32(at / 4u + block, Bits32(), vec2f(d), vec2f(-8.0 * d));
}
