// scaled/weight: row_scales of a weight.
fn value8(row: u32, piece: u32) -> Eight {
  return weight8(row, piece);
}
