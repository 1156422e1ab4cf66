// q4_k: d · scale · code − dmin · minimum. Planes: codes of 4 bits · scale and minimum, a byte each, of each 32 values
// · d and dmin of each 256.
override ROW: u32 = (K / 256u * 148u + 15u) / 16u * 4u; // words
const HALVES = false;
const MINIMA = true;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let scales = K / 8u;
  let both = extractBits(scale_word(row, scales + piece / 8u), 4u * (piece & 4u), 16u);
  let dm = halves(row, scales + K / 64u, piece / 32u);
  return valuesOf(nibbles(row, 0u, piece), dm.x * f32(both & 255u), -dm.y * f32(both >> 8u));
}

fn block32(row: u32, block: u32) -> Coded {
  let scales = K / 8u;
  let both = bytePair(row, scales, block);
  let dm = halves(row, scales + K / 64u, block / 8u) * vec2f(f32(both & 255u), -f32(both >> 8u));
  return coded(codes32(words32(row, block)), dm.xx, dm.yy);
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  let scales = K / 8u;
  return Scales256(four(row, scales + 4u * chunk), vec4u(), halves(row, scales + K / 64u, chunk));
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let both = pair_at(s.words, i);
  return Factor(vec2f(s.d.x * f32(both & 255u)), -s.d.y * f32((both >> 8u) & 255u));
}

fn factors256(s: Scales256) -> Factors {
  let scale = times8(bytes8(s.words), s.d.x);
  let plus = times8(bytes8(s.words >> vec4u(8u)), -s.d.y);
  return Factors(scale, scale, plus, plus);
}
