// kv_write/f16: the cache of kv_read/f16, which it uses, and how it is written. What f16 cannot hold becomes its largest.
@group(0) @binding(5) var<storage, read_write> K: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> V: array<vec2u>;

const LARGEST = vec4f(65504.0);

fn remember(is_key: bool, row: u32, d4: u32, x: vec4f, mine: bool, local: vec3u) {
  let held = clamp(x, -LARGEST, LARGEST);
  let words = vec2u(pack2x16float(held.xy), pack2x16float(held.zw));
  if (mine && is_key) {
    K[row * (D / 4u) + d4] = words;
  } else if (mine) {
    V[row * (D / 4u) + d4] = words;
  }
}
