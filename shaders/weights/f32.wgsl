// f32: one value to a word.
override ROW: u32 = K; // words
fn weight8(row: u32, piece: u32) -> Eight {
  let lo = words4(row, 8u * piece);
  let hi = words4(row, 8u * piece + 4u);
  return Eight(bitcast<vec4f>(lo), bitcast<vec4f>(hi));
}
