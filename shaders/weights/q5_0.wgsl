// q5_0: d · (code − 16). Planes: 4 low bits of the codes · the bit above them · d of each 32 values.
override ROW: u32 = (K / 32u * 22u + 15u) / 16u * 4u; // words
const HALVES = false;
const MINIMA = false;
const ZERO = 16.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 8u;
  let d = half(row, high + K / 32u, piece / 4u);
  return valuesOf(joined(nibbles(row, 0u, piece), bits(row, high, piece), 4u), d, -ZERO * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let high = K / 8u;
  let d = half(row, high + K / 32u, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f(-ZERO * d));
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  return Scales256(four(row, K / 8u + K / 32u + 4u * chunk), vec4u(), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let d = unpack2x16float(pair_at(s.words, i)).x;
  return Factor(vec2f(d), 0.0);
}

fn factors256(s: Scales256) -> Factors {
  return one_factor(halves8(s.words));
}
