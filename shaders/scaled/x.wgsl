// scaled/x: row_scales of activations.
fn value8(row: u32, piece: u32) -> Eight {
  return x8(row, piece);
}
