// epilogue/swiglu: y[t,i] = silu(v[2i]) · v[2i + 1]; gate and up rows alternate, so a pair is always in one hand.
//   silu(g) = g / (1 + exp(-g)); the exponent is held below where exp overflows, as WGSL leaves infinities open
fn putPair(t: u32, row: u32, gate: f32, up: f32) {
  if (row < ROWS) {
    y[t * (N / 2u) + (FIRST + row) / 2u] = gate / (1.0 + exp(min(-gate, 88.0))) * up;
  }
}

fn store4(t: u32, row: u32, values: vec4f) {
  putPair(t, row, values.x, values.y);
  putPair(t, row + 2u, values.z, values.w);
}
