// epilogue/plain: y = v
fn finish(t: u32, n: u32, value: f32) -> f32 {
  return value;
}
