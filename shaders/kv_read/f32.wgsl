// kv_read/f32: keys and values as they were computed, [rows, D] f32. Uses kv_bind/* or kv_write/*, as all of kv_read/*

// Elements 4·d4 … 4·d4 + 3 of a row (kv_cache).
fn key4(row: u32, d4: u32) -> vec4f {
  return K[row * (D / 4u) + d4];
}

fn value4(row: u32, d4: u32) -> vec4f {
  return V[row * (D / 4u) + d4];
}
