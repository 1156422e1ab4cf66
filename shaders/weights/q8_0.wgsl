// q8_0: d · code. Planes: signed bytes · d of each 32 values.
override ROW: u32 = (K / 32u * 34u + 15u) / 16u * 4u; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let at = row * ROW;
  let d = half(at + K / 4u, piece / 4u);
  let word = at + 2u * piece;
  return Eight(vec4f(unpack4xI8(W[word])) * d, vec4f(unpack4xI8(W[word + 1u])) * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let at = row * ROW;
  return bytes32(at / 4u + 2u * block, half(at + K / 4u, block));
}
