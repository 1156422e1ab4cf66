// f32: one value to a word.
override ROW: u32 = K; // words
alias Words8 = Eight;

fn words8(row: u32, piece: u32) -> Words8 {
  let lo = words4(row, 8u * piece);
  let hi = words4(row, 8u * piece + 4u);
  return Eight(bitcast<vec4f>(lo), bitcast<vec4f>(hi));
}

fn values8(w: Words8) -> Eight {
  return w;
}

fn weight8(row: u32, piece: u32) -> Eight {
  return words8(row, piece);
}
