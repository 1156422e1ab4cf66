// kv_write/f32: the cache of kv_read/f32, which it uses, and how it is written.
@group(0) @binding(5) var<storage, read_write> K: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> V: array<vec4f>;

// Keeps elements 4·d4 … of a row where `mine`; called by all lanes of the workgroup together.
fn remember(is_key: bool, row: u32, d4: u32, x: vec4f, mine: bool, local: vec3u) {
  if (mine && is_key) {
    K[row * (D / 4u) + d4] = x;
  } else if (mine) {
    V[row * (D / 4u) + d4] = x;
  }
}
