// attention_split: a token of each sequence against a part of its cache, from the packed projection; attention_merge joins
//   the parts.   q[h], k, v: the token's, as qkv_prepare makes them; k and v go to the cache's row `past`
//   s_i = q_h·K_i · D^-½    m = max s    l = Σ exp(s_i − m)    sum = Σ exp(s_i − m) · V_i    over the keys i of the split,
//   0 … past in all, the last being k and v
//   qkv: [T, PACKED]    K, V: the cache    acc: [T, Nh, SPLITS] of (sum, then m, l and two zeros)
//   workgroup (split, kv head, block of token): GROUPED ≤ 4 query heads of the kv head share its reads, one component of a
//   vec4 each. Scores: 4 lanes a key. Values: a lane owns 4 dims of every SLOTS-th key.
// The token's own key and value do not come back from the cache, but are what the sums of the last split begin with, in f32:
// so no workgroup waits for another's writes.
// Uses steps/*, kv_cache, kv_read/*, kv_write/*, reduce/heads_workgroup, qkv_plain or qkv_norm, qkv_turn, attention_chunk
override GROUPED: u32;     // query heads of a workgroup
override BLOCKS: u32;      // workgroups that share a token's kv head
@group(0) @binding(0) var<uniform> step: Step;   // uniform, since eight storage buffers are all that every device has
@group(0) @binding(4) var<storage, read_write> acc: array<vec4f>;

const WG = 128u;
const ROWS = 8u;           // of lanes that make a head: four of queries, the key's and the value's
const LANES = 16u;
const LOWEST = -3.4e38;
override SLOTS: u32 = WG / D4;                    // keys whose values are read at once
override GROUP: u32 = HEADS / KV_HEADS;
var<workgroup> query: array<vec4f, 4u * D4>;      // [d4][head of the block], scaled
var<workgroup> sums: array<vec4f, 4u * WG>;       // [lane][key] of a tile; in the end [slot][d4] of four heads
var<workgroup> weights: array<vec4f, KEYS>;       // scores, then exp(score − max), of a tile
var<workgroup> tops: array<vec4f, 8>;             // largest score of every 8 keys

// Fills `query`; where the split has the token's own key, `sums` too: that from WG on, its value from 2·WG on.
fn prepare(t: u32, head: u32, count: u32, kv_head: u32, own: bool, writes: bool, i: u32) {
  let local = vec3u(i % LANES, i / LANES, 0u);
  let row = local.y;
  let is_query = row < 4u;
  let is_key = row == 4u;
  let live = select(own && row < 6u, row < count, is_query);
  let past_queries = HEADS * Q_STRIDE + (kv_head + select(KV_HEADS, 0u, is_key)) * D;
  let base = (t * PACKED + select(past_queries, (head + min(row, count - 1u)) * Q_STRIDE, is_query)) / 4u;
  var scale = 1.0;
  if (NORMED) {
    var squares = 0.0;
    for (var d4 = local.x; live && d4 < D4; d4 += LANES) {
      squares += dot(qkv[base + d4], qkv[base + d4]);
    }
    scale = norm_scales(vec4f(sum_of_head(squares, local))).x;
  }
  let place = cache_row(slot_of(t), kv_head, row_of(t));
  for (var first = 0u; first < D4; first += LANES) {   // all lanes together
    let d4 = first + local.x;
    let mine = live && d4 < D4;
    var x = vec4f(0.0);
    if (mine && row < 5u) {
      x = turned4(t, base, is_key, d4, scale);
    } else if (mine) {
      x = qkv[base + d4];
    }
    remember(is_key, place, d4, x, mine && !is_query && writes, local);
    if (is_query && d4 < D4) {
      query[d4 * 4u + row] = x / sqrt(f32(D));
    } else if (mine) {
      sums[(row - 3u) * WG + d4] = x;
    }
  }
}

// q·k of four heads over every fourth vec4 of two keys
fn lane_scores(lane: u32, row0: u32, row1: u32) -> array<vec4f, 2> {
  var s0 = vec4f(0.0);
  var s1 = vec4f(0.0);
  for (var d4 = lane; d4 < D4; d4 += 4u) {
    let k0 = key4(row0, d4);
    let k1 = key4(row1, d4);
    let q0 = query[d4 * 4u];
    s0.x += dot(q0, k0);
    s1.x += dot(q0, k1);
    if (GROUPED > 1u) {
      let q1 = query[d4 * 4u + 1u];
      s0.y += dot(q1, k0);
      s1.y += dot(q1, k1);
    }
    if (GROUPED > 2u) {
      let q2 = query[d4 * 4u + 2u];
      s0.z += dot(q2, k0);
      s1.z += dot(q2, k1);
    }
    if (GROUPED > 3u) {
      let q3 = query[d4 * 4u + 3u];
      s0.w += dot(q3, k0);
      s1.w += dot(q3, k1);
    }
  }
  return array(s0, s1);
}

@compute @workgroup_size(WG)
fn attention_split(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) i: u32) {
  let t = group.z / BLOCKS;
  let block = group.z % BLOCKS;
  let cache_slot = slot_of(t);
  let past = row_of(t);
  let chunk = chunk_of(past + 1u);
  let first = group.x * chunk;
  if (first > past) { return; }
  let end = min(first + chunk, past);
  let own = past < first + chunk;
  let first_head = group.y * GROUP + block * GROUPED;
  let count = min(GROUPED, GROUP - block * GROUPED);
  prepare(t, first_head, count, group.y, own, own && block == 0u, i);
  workgroupBarrier();

  let d4 = i % D4;
  let slot = i / D4;
  var m = vec4f(LOWEST);
  var l = vec4f(0.0);                             // lanes below KEYS: the sum over their own keys
  var acc0 = vec4f(0.0);
  var acc1 = vec4f(0.0);
  var acc2 = vec4f(0.0);
  var acc3 = vec4f(0.0);
  if (own) {
    if (slot == 0u) {
      sums[d4] = sums[WG + d4] * mat4x4f(query[d4 * 4u], query[d4 * 4u + 1u], query[d4 * 4u + 2u], query[d4 * 4u + 3u]);
      acc0 = sums[2u * WG + d4];
      acc1 = acc0;
      acc2 = acc0;
      acc3 = acc0;
    }
    workgroupBarrier();
    m = vec4f(0.0);
    for (var j = 0u; j < D4; j++) {
      m += sums[j];
    }
    l = vec4f(select(0.0, 1.0, i == 0u));
    workgroupBarrier();
  }
  for (var base = first; base < end; base += KEYS) {
    let keys = min(KEYS, end - base);             // rows past the end may hold anything: never read
    let lane = i % 4u;
    let key = i / 4u;
    let page = cache_row(cache_slot, group.y, base);   // a tile is one page
    let s = lane_scores(lane, page + min(key, keys - 1u), page + min(key + 32u, keys - 1u));
    sums[lane * KEYS + key] = s[0];
    sums[lane * KEYS + key + 32u] = s[1];
    workgroupBarrier();

    if (i < KEYS) {
      let score = sums[i] + sums[KEYS + i] + sums[2u * KEYS + i] + sums[3u * KEYS + i];
      weights[i] = select(vec4f(LOWEST), score, i < keys);
    }
    workgroupBarrier();
    if (i < 8u) {
      var top = weights[i * 8u];
      for (var j = 1u; j < 8u; j++) {
        top = max(top, weights[i * 8u + j]);
      }
      tops[i] = top;
    }
    workgroupBarrier();
    var top = m;
    for (var j = 0u; j < 8u; j++) {
      top = max(top, tops[j]);
    }
    let shrink = exp(m - top);
    m = top;
    if (i < KEYS) {
      let p = select(vec4f(0.0), exp(weights[i] - m), i < keys);
      weights[i] = p;
      l = l * shrink + p;
    }
    workgroupBarrier();

    acc0 *= shrink.x;
    acc1 *= shrink.y;
    acc2 *= shrink.z;
    acc3 *= shrink.w;
    if (slot < SLOTS) {
      for (var k = slot; k < keys; k += SLOTS) {
        let v = value4(page + k, d4);
        let p = weights[k];
        acc0 += p.x * v;
        if (GROUPED > 1u) { acc1 += p.y * v; }
        if (GROUPED > 2u) { acc2 += p.z * v; }
        if (GROUPED > 3u) { acc3 += p.w * v; }
      }
    }
  }

  workgroupBarrier();
  sums[i] = acc0;
  sums[WG + i] = acc1;
  sums[2u * WG + i] = acc2;
  sums[3u * WG + i] = acc3;
  if (i < KEYS) { weights[i] = l; }
  workgroupBarrier();
  for (var at = i; at < count * D4; at += WG) {
    var sum = vec4f(0.0);
    for (var j = 0u; j < SLOTS; j++) {
      sum += sums[at / D4 * WG + j * D4 + at % D4];
    }
    acc[part_of(t * HEADS + first_head + at / D4, group.x) + at % D4] = sum;
  }
  if (i < count) {
    var sum = 0.0;
    for (var j = 0u; j < KEYS; j++) {
      sum += weights[j][i];
    }
    acc[part_of(t * HEADS + first_head + i, group.x) + D4] = vec4f(m[i], sum, 0.0, 0.0);
  }
}
