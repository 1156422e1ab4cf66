// codes/five: the codes of a block of weights that have five bits: a plane of four, and behind it one of the bit above.
//   uses rows/planes
struct Words32 {
  low: vec4u,
  high: u32,
}

fn words32(row: u32, block: u32) -> Words32 {
  return Words32(low_quad(row, block), word(row, K / 8u + block));
}

fn codes32(w: Words32) -> Bytes32 {
  return nibbles32(w.low, bits32(w.high));
}
