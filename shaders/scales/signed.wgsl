// scales/signed: a plane of scales from word SCALES of a row on, two signed bytes a block, of its first and of its second 16
// values, in units of d, which follows.   uses rows/planes
fn scales256(row: u32, chunk: u32) -> Scales256 {
  let d = half(row, SCALES + K / 64u, chunk);
  return Scales256(four(row, SCALES + 4u * chunk), vec4u(), vec2f(d));
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  return Factor(vec2f(unpack4xI8(pair_at(s.words, i)).xy) * s.d, 0.0);
}

fn factors256(s: Scales256) -> Factors {
  let second = times8(signedBytes8(s.words >> vec4u(8u)), s.d.x);
  return Factors(times8(signedBytes8(s.words), s.d.x), second, Eight(), Eight());
}
