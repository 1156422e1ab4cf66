// q5_1: d · code + min. Planes: 4 low bits of the codes · the bit above them · d and min of each 32 values.
override ROW: u32 = (K / 32u * 24u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let high = at + K / 8u;
  let dm = halves(high + K / 32u, piece / 4u);
  return valuesOf(joined(nibbles(at, piece), bits(high, piece), 4u), dm.x, dm.y);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let high = at + K / 8u;
  let dm = halves(high + K / 32u, block);
  return nibbles32(at / 4u + block, bits32(high + block), dm.xx, dm.yy);
}
