// kv_write/q8_0: as kv_read/q8_0 reads them; part of qkv_prepare.   d = max |x| / 127 of each 32, rounded to f16;
//   code = round(x / d).   8 lanes have a block and 16 lanes, which are a head's (LANES), one word of scales.
@group(0) @binding(5) var<storage, read_write> K: array<u32>;
@group(0) @binding(6) var<storage, read_write> V: array<u32>;
override ROW: u32 = D / 4u + (D + 63u) / 64u;   // words
var<workgroup> tops: array<f32, ROWS * LANES>;

// max |x| / 127 of a block, which begins with this lane
fn block_scale(head: u32, lane: u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) {
    top = max(top, tops[head * LANES + lane + i]);
  }
  return top / 127.0;
}

fn remember(is_key: bool, row: u32, d4: u32, x: vec4f, mine: bool, local: vec3u) {
  let size = abs(x);
  workgroupBarrier();                             // the last words' scales have been read
  tops[local.y * LANES + local.x] = select(0.0, max(max(size.x, size.y), max(size.z, size.w)), mine);
  workgroupBarrier();
  let scales = pack2x16float(vec2f(block_scale(local.y, 0u), block_scale(local.y, 8u)));
  let both = unpack2x16float(scales);
  let d = select(both.x, both.y, local.x >= 8u);
  let codes = clamp(vec4i(round(x * select(0.0, 1.0 / d, d > 0.0))), vec4i(-127), vec4i(127));
  if (!mine) { return; }
  let at = row * ROW;
  if (is_key) {
    K[at + d4] = pack4xI8(codes);
    if (local.x == 0u) { K[at + D / 4u + d4 / 16u] = scales; }
  } else {
    V[at + d4] = pack4xI8(codes);
    if (local.x == 0u) { V[at + D / 4u + d4 / 16u] = scales; }
  }
}
