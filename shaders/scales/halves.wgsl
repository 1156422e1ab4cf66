// scales/halves: a plane of scales from word SCALES of a row on, two f16 a block: what codes are multiplied by and what is
// added.   uses rows/planes
fn scales256(row: u32, chunk: u32) -> Scales256 {
  let at = SCALES + 8u * chunk;
  return Scales256(four(row, at), four(row, at + 4u), vec2f());
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  let dm = unpack2x16float(word_at(select(s.words, s.more, i > 3u), i % 4u));
  return Factor(dm.xx, dm.y);
}

fn factors256(s: Scales256) -> Factors {
  return halfPairs8(s.words, s.more);
}
