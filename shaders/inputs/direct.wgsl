// inputs/direct: mat-vec's input is x as it is.
fn prepare(lane: u32) -> f32 {
  return 1.0;
}

fn input8(piece: u32) -> Eight {
  return x8(0u, piece);
}
