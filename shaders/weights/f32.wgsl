// f32: one value to a word.
fn weight8(row: u32, piece: u32) -> Eight {
  let lo = words4(row, 8u * piece, K);
  let hi = words4(row, 8u * piece + 4u, K);
  return Eight(bitcast<vec4f>(lo), bitcast<vec4f>(hi));
}
