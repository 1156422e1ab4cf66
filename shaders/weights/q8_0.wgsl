// q8_0: d · code. Planes: signed bytes · d of each 32 values.
override ROW: u32 = (K / 32u * 34u + 15u) / 16u * 4u; // words
const HALVES = false;
const MINIMA = false;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let d = half(row, K / 4u, piece / 4u);
  let codes = words2(row, 2u * piece);
  return Eight(vec4f(unpack4xI8(codes.x)) * d, vec4f(unpack4xI8(codes.y)) * d);
}

struct Words32 {
  first: vec4u,
  second: vec4u,
}

fn words32(row: u32, block: u32) -> Words32 {
  return Words32(low_quad(row, 2u * block), low_quad(row, 2u * block + 1u));
}

fn codes32(w: Words32) -> Bytes32 {
  return bytes32(w.first, w.second);
}

fn block32(row: u32, block: u32) -> Coded {
  let d = half(row, K / 4u, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f());
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  return Scales256(four(row, K / 4u + 4u * chunk), vec4u(), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let d = unpack2x16float(pair_at(s.words, i)).x;
  return Factor(vec2f(d), 0.0);
}

fn factors256(s: Scales256) -> Factors {
  return one_factor(halves8(s.words));
}
