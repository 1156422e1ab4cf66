// inputs/plain: mat-vec's input is x as it is.
const NORMED = false;

fn gainOf(piece: u32) -> Eight {
  return Eight();
}

fn gained(values: Eight, gains: Eight) -> Eight {
  return values;
}

fn squared(sum: f32, values: Eight) -> f32 {
  return sum;
}

fn scaleOf(squares: f32) -> f32 {
  return 1.0;
}
