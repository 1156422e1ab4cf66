// q5_1: d · code + min. Planes: 4 low bits of the codes · the bit above them · d and min of each 32 values.
override ROW: u32 = (K / 32u * 24u + 15u) / 16u * 4u; // words
const HALVES = false;
const MINIMA = true;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 8u;
  let dm = halves(row, high + K / 32u, piece / 4u);
  return valuesOf(joined(nibbles(row, 0u, piece), bits(row, high, piece), 4u), dm.x, dm.y);
}

fn block32(row: u32, block: u32) -> Coded {
  let high = K / 8u;
  let dm = halves(row, high + K / 32u, block);
  return coded(codes32(words32(row, block)), dm.xx, dm.yy);
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  let at = K / 8u + K / 32u + 8u * chunk;
  return Scales256(four(row, at), four(row, at + 4u), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let dm = unpack2x16float(word_at(select(s.words, s.more, i > 3u), i % 4u));
  return Factor(dm.xx, dm.y);
}

fn factors256(s: Scales256) -> Factors {
  return halfPairs8(s.words, s.more);
}
