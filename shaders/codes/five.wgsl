// codes/five: the codes of a block of weights that have five bits: a plane of four, and behind it one of the bit above.
//   uses rows/planes
struct Words32 {
  low: vec4u,
  high: u32,
}

override HIGH: u32 = K / 8u; // words before the plane of bits above

fn low32(row: u32, block: u32) -> vec4u {
  return low_quad(row, block);
}

fn words32(row: u32, block: u32) -> Words32 {
  return Words32(low32(row, block), word(row, HIGH + block));
}

fn codes32(w: Words32) -> Bytes32 {
  return nibbles32(w.low, highBits32(w.high));
}
