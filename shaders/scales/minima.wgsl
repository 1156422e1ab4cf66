// scales/minima: a plane of scales from word SCALES of a row on, two bytes a block: what codes are multiplied by and what is
// taken off, in units of d and dmin, which follow.   uses rows/planes
fn scales256(row: u32, chunk: u32) -> Scales256 {
  return Scales256(four(row, SCALES + 4u * chunk), vec4u(), halves(row, SCALES + K / 64u, chunk));
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
