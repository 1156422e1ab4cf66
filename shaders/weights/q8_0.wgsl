// q8_0: d · code. Planes: signed bytes · d of each 32 values.
override ROW: u32 = (K / 32u * 34u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 4u; // words before its scales
const HALVES = false;
const MINIMA = false;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let d = half(row, SCALES, piece / 4u);
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
  let d = half(row, SCALES, block);
  return coded(codes32(words32(row, block)), vec2f(d), vec2f());
}
