// moe/plain: y[pair,row] = v; rows that are another expert's, or in another shard, are not stored.
fn put(pair: u32, expert: u32, row: u32, value: f32) {
  let held = expert * R + row - FIRST; // wraps far beyond ROWS for rows before the shard
  if (row < R && held < ROWS) {
    y[pair * R + row] = value;
  }
}

fn store4(pair: u32, expert: u32, row: u32, values: vec4f) {
  put(pair, expert, row, values.x);
  put(pair, expert, row + 1u, values.y);
  put(pair, expert, row + 2u, values.z);
  put(pair, expert, row + 3u, values.w);
}
