// scales/half: a plane of scales from word SCALES of a row on, one f16 a block.   uses rows/planes
fn scales256(row: u32, chunk: u32) -> Scales256 {
  return Scales256(four(row, SCALES + 4u * chunk), vec4u(), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let d = unpack2x16float(pair_at(s.words, i)).x;
  return Factor(vec2f(d), 0.0);
}

fn factors256(s: Scales256) -> Factors {
  return one_factor(halves8(s.words));
}
