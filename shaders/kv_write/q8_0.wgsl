// kv_write/q8_0: 8 lanes round a block together, and 16 lanes, which are a head's (LANES), write a word of scales. Uses
//   kv_write/codes
var<workgroup> block_tops: array<f32, ROWS * LANES>;

// max |x| / 127 of a block, which begins with this lane
fn block_scale(head: u32, lane: u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) {
    top = max(top, block_tops[head * LANES + lane + i]);
  }
  return top / 127.0;
}

fn remember(is_key: bool, row: u32, d4: u32, x: vec4f, mine: bool, local: vec3u) {
  workgroupBarrier();                             // the last words' scales have been read
  block_tops[local.y * LANES + local.x] = largest(x);   // x is 0 where a lane has nothing
  workgroupBarrier();
  let scales = pack2x16float(vec2f(block_scale(local.y, 0u), block_scale(local.y, 8u)));
  let codes = encoded(x, scales, d4);
  if (mine) { put(is_key, row * ROW + d4, codes); }
  if (mine && local.x == 0u) { put(is_key, row * ROW + D / 4u + d4 / 16u, scales); }
}
