// attention_split: the query of one token of each sequence against a part of its cache; attention_merge joins the parts.
//   s_k = q_h·K_k · D^-½    m = max s    l = Σ exp(s_k − m)    acc = Σ exp(s_k − m) · V_k    over the keys k of split s
//   q: [T, Nh, D]    K, V: the cache    acc: [T, Nh, SPLITS, D]    stats: [T, Nh, SPLITS] of (m, l)
//   workgroup (split, kv head, block of token): GROUPED ≤ 4 query heads of the kv head share its reads, one component of a
//   vec4 each. Scores: 4 lanes a key. Values: a lane owns 4 dims of every SLOTS-th key.  Uses steps/*, kv_cache, attention_chunk
override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override GROUPED: u32;     // query heads of a workgroup
override BLOCKS: u32;      // workgroups that share a token's kv head
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> K: array<vec4f>;
@group(0) @binding(3) var<storage, read> V: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> acc: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;

const WG = 128u;
const LOWEST = -3.4e38;
override D4: u32 = D / 4u;
override SLOTS: u32 = WG / D4;                    // keys whose values are read at once
override GROUP: u32 = HEADS / KV_HEADS;
var<workgroup> query: array<vec4f, 4u * D4>;      // [d4][head of the block], scaled
var<workgroup> sums: array<vec4f, 4u * WG>;       // [lane][key] of a tile; in the end [slot][d4] of four heads
var<workgroup> weights: array<vec4f, KEYS>;       // scores, then exp(score − max), of a tile
var<workgroup> tops: array<vec4f, 8>;             // largest score of every 8 keys

// first_head counts through the heads of all tokens
fn load_query(first_head: u32, count: u32, i: u32) {
  for (var at = i; at < 4u * D4; at += WG) {
    let head = at % 4u;
    query[at] = select(vec4f(0.0), q[(first_head + min(head, count - 1u)) * D4 + at / 4u], head < count) / sqrt(f32(D));
  }
}

// q·k of four heads over every fourth vec4 of two keys
fn lane_scores(lane: u32, row0: u32, row1: u32) -> array<vec4f, 2> {
  var s0 = vec4f(0.0);
  var s1 = vec4f(0.0);
  for (var d4 = lane; d4 < D4; d4 += 4u) {
    let k0 = K[row0 * D4 + d4];
    let k1 = K[row1 * D4 + d4];
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
  let length = row_of(t) + 1u;
  let chunk = chunk_of(length);
  let first = group.x * chunk;
  if (first >= length) { return; }
  let end = min(first + chunk, length);
  let first_head = t * HEADS + group.y * GROUP + block * GROUPED;
  let count = min(GROUPED, GROUP - block * GROUPED);
  load_query(first_head, count, i);
  workgroupBarrier();

  let d4 = i % D4;
  let slot = i / D4;
  var m = vec4f(LOWEST);
  var l = vec4f(0.0);                             // lanes below KEYS: the sum over their own keys
  var acc0 = vec4f(0.0);
  var acc1 = vec4f(0.0);
  var acc2 = vec4f(0.0);
  var acc3 = vec4f(0.0);
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
        let v = V[(page + k) * D4 + d4];
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
    acc[((first_head + at / D4) * SPLITS + group.x) * D4 + at % D4] = sum;
  }
  if (i < count) {
    var sum = 0.0;
    for (var j = 0u; j < KEYS; j++) {
      sum += weights[j][i];
    }
    stats[(first_head + i) * SPLITS + group.x] = vec2f(m[i], sum);
  }
}
