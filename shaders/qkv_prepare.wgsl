// qkv_prepare: from the packed projection to attention's inputs, head by head:
//   q[t,h] = rope(norm(qkv[t, q of h]))    K[row of t] = rope(norm(qkv[t, k]))    V[row of t] = qkv[t, v]    (qkv_turn)
//   qkv: [T, PACKED]    q: [T, Nh, D]    K, V: the cache
//   a workgroup takes ROWS heads of token group.y, LANES lanes a head; uses steps/*, kv_cache, kv_read/*, kv_write/*,
//   reduce/heads_*, qkv_plain or qkv_norm, and qkv_turn
override ROWS: u32;
override LANES: u32;
@group(0) @binding(0) var<uniform> step: Step;   // uniform, since eight storage buffers are all that every device has
@group(0) @binding(4) var<storage, read_write> q: array<vec4f>;

@compute @workgroup_size(LANES, ROWS)
fn qkv_prepare(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let t = group.y;
  let slot = group.x * ROWS + local.y;                         // query heads, then key heads, then value heads
  let head = min(slot, HEADS + 2u * KV_HEADS - 1u);
  let after_q = select(0u, head - HEADS, head >= HEADS);       // heads past the queries
  let base = (t * PACKED + min(head, HEADS) * Q_STRIDE + after_q * D) / 4u;
  var scale = 1.0;
  if (NORMED) {                                                // may hold a barrier: no lane has left yet
    var squares = 0.0;
    for (var d4 = local.x; d4 < D4; d4 += LANES) {
      squares += dot(qkv[base + d4], qkv[base + d4]);
    }
    scale = norm_scales(vec4f(sum_of_head(squares, local))).x;
  }
  let live = slot == head && t < step.tokens;
  let row = cache_row(slot_of(t), after_q % KV_HEADS, row_of(t));
  for (var first = 0u; first < D4; first += LANES) {           // all lanes together, as above
    let d4 = first + local.x;
    let mine = live && d4 < D4;
    var x = vec4f(0.0);
    if (mine && head < HEADS + KV_HEADS) {
      x = turned4(t, base, head >= HEADS, d4, scale);
    } else if (mine) {
      x = qkv[base + d4];
    }
    if (mine && head < HEADS) { q[(t * HEADS + head) * D4 + d4] = x; }
    remember(head < HEADS + KV_HEADS, row, d4, x, mine && head >= HEADS, local);
  }
}
