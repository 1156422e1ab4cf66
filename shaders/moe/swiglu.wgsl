// moe/swiglu: y[pair,i] = silu(v[2i]) · v[2i + 1], as epilogue/swiglu; R is even, and a shard begins with a pair of rows.
fn putPair(pair: u32, expert: u32, row: u32, gate: f32, up: f32) {
  let held = expert * R + row - FIRST; // wraps far beyond ROWS for rows before the shard
  if (row < R && held < ROWS) {
    y[pair * (R / 2u) + row / 2u] = gate / (1.0 + exp(min(-gate, 88.0))) * up;
  }
}

fn store4(pair: u32, expert: u32, row: u32, values: vec4f) {
  putPair(pair, expert, row, values.x, values.y);
  putPair(pair, expert, row + 2u, values.z, values.w);
}
