// epilogue/partial: what a split has summed, as it is: y [SPLITS · SPLIT_ROWS, ROWS] f32
fn putPartial(t: u32, row: u32, value: f32) {
  if (row < ROWS) {
    y[t * ROWS + row] = value;
  }
}

fn store4(t: u32, row: u32, values: vec4f) {
  putPartial(t, row, values.x);
  putPartial(t, row + 1u, values.y);
  putPartial(t, row + 2u, values.z);
  putPartial(t, row + 3u, values.w);
}
