// kv_write/codes: the cache of kv_read/q8_0, which it uses, and its rounding; part of kv_write/q8_0 and kv_write/q8_0_lanes.
//   d = max |x| / 127 of each 32, rounded to f16;   code = round(x / d).
@group(0) @binding(5) var<storage, read_write> K: array<u32>;
@group(0) @binding(6) var<storage, read_write> V: array<u32>;

fn largest(x: vec4f) -> f32 {
  let size = abs(x);
  return max(max(size.x, size.y), max(size.z, size.w));
}

fn encoded(x: vec4f, scales: u32, d4: u32) -> u32 {
  let d = scale_of(scales, d4);
  return pack4xI8(clamp(vec4i(round(x * select(0.0, 1.0 / d, d > 0.0))), vec4i(-127), vec4i(127)));
}

fn put(is_key: bool, at: u32, word: u32) {
  if (is_key) {
    K[at] = word;
  } else {
    V[at] = word;
  }
}
