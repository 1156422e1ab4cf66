// q5_0: d · (code − 16). Planes: 4 low bits of the codes · the bit above them · d of each 32 values.
override ROW: u32 = (K / 32u * 22u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let high = at + K / 8u;
  let d = half(high + K / 32u, piece / 4u);
  return valuesOf(joined(nibbles(at, piece), bits(high, piece), 4u), d, -16.0 * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let high = at + K / 8u;
  let d = half(high + K / 32u, block);
  return nibbles32(at / 4u + block, bits32(high + block), vec2f(d), vec2f(-16.0 * d));
}
