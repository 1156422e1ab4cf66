// q4_0: d · (code − 8). Planes: codes of 4 bits · d of each 32 values.
override ROW: u32 = (K / 32u * 18u + 15u) / 16u * 4u; // words
const HALVES = false;
const MINIMA = false;
const ZERO = 8.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let d = half(row, K / 8u, piece / 4u);
  return valuesOf(nibbles(row, 0u, piece), d, -ZERO * d);
}

fn block32(row: u32, block: u32) -> Coded {
  let d = half(row, K / 8u, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f(-ZERO * d));
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  return Scales256(four(row, K / 8u + 4u * chunk), vec4u(), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let d = unpack2x16float(pair_at(s.words, i)).x;
  return Factor(vec2f(d), 0.0);
}

fn factors256(s: Scales256) -> Factors {
  return one_factor(halves8(s.words));
}
