// q4_1: d · code + min. Planes: codes of 4 bits · d and min of each 32 values.
override ROW: u32 = (K / 32u * 20u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let dm = halves(at + K / 8u, piece / 4u);
  return valuesOf(nibbles(at, piece), dm.x, dm.y);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  let dm = halves(at + K / 8u, block);
  return nibbles32(at / 4u + block, Bits32(), dm.xx, dm.yy);
}
