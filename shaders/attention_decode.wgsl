// attention_decode: a token of each of some sequences on a software adapter, from the packed projection to what is mixed:
//   q[h], k, v: the token's, as qkv_prepare makes them; k and v go to the cache's row `past`
//   y[h] = Σ_i softmax_i(q[h]·K_i · D^-½) · V_i,   i = 0 … past, the last being k and v
//   qkv: [T, PACKED]    K, V: the cache    y: [T, Nh·D]    past: of the token's own sequence
//   one workgroup of exactly one subgroup (LANES wide) per up to four query heads of a token's kv head. Of a head a lane has
//   dims 4·(lane + LANES·j) …; for scores it takes a key.
// For loads, shuffles and loops see attention_lanes. The token's own key and value do not come back from the cache, but are
// what the sums begin with, in f32: so nothing waits for a write, and several workgroups of a kv head are as good as one.
// Uses steps/*, kv_cache, kv_read/*, kv_write/*, qkv_plain or qkv_norm, qkv_turn and attention_gate or attention_plain
enable subgroups;

override LANES: u32;                        // 4 to 64
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

const LOWEST = -3.4e38;
const GROUPS = 8u;                          // of LANES keys of a page, whose weights a lane remembers
override GROUP: u32 = HEADS / KV_HEADS;
override HALF: u32 = R / 8u / LANES;        // where in a lane the pairs' other halves lie, if they do
override PAIRED: bool = R % (8u * LANES) == 0u;

alias Head = array<vec4f, 16>;
alias Heads = array<mat4x4f, 16>;           // a column a head

// four dims of up to four heads
fn hold(base: vec4u, d4: u32) -> mat4x4f {
  var held = mat4x4f();
  if (d4 >= D4) { return held; }
  held[0] = qkv[base.x + d4];
  if (GROUP > 1u) { held[1] = qkv[base.y + d4]; }
  if (GROUP > 2u) { held[2] = qkv[base.z + d4]; }
  if (GROUP > 3u) { held[3] = qkv[base.w + d4]; }
  return held;
}

fn squares_of(x: mat4x4f) -> vec4f {
  return vec4f(dot(x[0], x[0]), dot(x[1], x[1]), dot(x[2], x[2]), dot(x[3], x[3]));
}

fn scale_dims(x: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(x[0] * by, x[1] * by, x[2] * by, x[3] * by);
}

fn scale_heads(x: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(x[0] * by.x, x[1] * by.y, x[2] * by.z, x[3] * by.w);
}

fn from_lane(held: mat4x4f, lane: u32) -> mat4x4f {
  var x = mat4x4f();
  x[0] = subgroupShuffle(held[0], lane);
  if (GROUP > 1u) { x[1] = subgroupShuffle(held[1], lane); }
  if (GROUP > 2u) { x[2] = subgroupShuffle(held[2], lane); }
  if (GROUP > 3u) { x[3] = subgroupShuffle(held[3], lane); }
  return x;
}

// sums + weights · v, of four heads
fn outer(sums: mat4x4f, p: vec4f, v: vec4f) -> mat4x4f {
  var x = sums;
  x[0] += p.x * v;
  if (GROUP > 1u) { x[1] += p.y * v; }
  if (GROUP > 2u) { x[2] += p.z * v; }
  if (GROUP > 3u) { x[3] += p.w * v; }
  return x;
}

// The token's queries and its key, normed and turned, the queries times D^-½ too.
fn prepare(t: u32, base: vec4u, key_base: u32, lane: u32, query: ptr<function, Heads>, key: ptr<function, Head>) {
  var squares = vec4f();
  var key_squares = 0.0;
  for (var j = 0u; j * LANES < D4; j++) {
    let d4 = j * LANES + lane;
    let held = hold(base, d4);
    let own = select(vec4f(), qkv[key_base + min(d4, D4 - 1u)], d4 < D4);
    squares += squares_of(held);
    key_squares += dot(own, own);
    (*query)[j] = held;
    (*key)[j] = own;
  }
  let scales = norm_scales(subgroupAdd(squares));
  let key_scale = norm_scales(subgroupAdd(vec4f(key_squares))).x;
  let root = 1.0 / sqrt(f32(D));
  for (var j = 0u; j * LANES < D4; j++) {
    let d4 = min(j * LANES + lane, D4 - 1u);
    (*query)[j] = scale_heads(scale_dims((*query)[j], head_weight4(false, d4)), scales * root);
    (*key)[j] *= head_weight4(true, d4) * key_scale;
    if (!PAIRED && j * LANES + lane < D4) {
      (*query)[j][0] = root * turned4(t, base.x, false, d4, scales.x);
      if (GROUP > 1u) { (*query)[j][1] = root * turned4(t, base.y, false, d4, scales.y); }
      if (GROUP > 2u) { (*query)[j][2] = root * turned4(t, base.z, false, d4, scales.z); }
      if (GROUP > 3u) { (*query)[j][3] = root * turned4(t, base.w, false, d4, scales.w); }
      (*key)[j] = turned4(t, key_base, true, d4, key_scale);
    }
  }
  for (var j = 0u; PAIRED && j < HALF; j++) {
    let turn = turns_of(t, 4u * (j * LANES + lane));
    let first = (*query)[j];
    let second = (*query)[j + HALF];
    (*query)[j] = scale_dims(first, turn.c) - scale_dims(second, turn.s);
    (*query)[j + HALF] = scale_dims(second, turn.c) + scale_dims(first, turn.s);
    let k = (*key)[j];
    (*key)[j] = k * turn.c - (*key)[j + HALF] * turn.s;
    (*key)[j + HALF] = (*key)[j + HALF] * turn.c + k * turn.s;
  }
}

@compute @workgroup_size(LANES)
fn attention_decode(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) width: u32,                      // LANES
) {
  let t = group.z;
  let slot = slot_of(t);
  let past = row_of(t);
  let kv_head = group.y;
  let head = kv_head * GROUP + group.x * 4u;
  let last_head = min(head + 4u, (kv_head + 1u) * GROUP) - 1u;
  let bases = (t * PACKED + min(head + vec4u(0u, 1u, 2u, 3u), vec4u(last_head)) * Q_STRIDE) / 4u;
  let key_base = (t * PACKED + HEADS * Q_STRIDE + kv_head * D) / 4u;
  let value_base = key_base + KV_HEADS * D4;

  var query: Heads;
  var key: Head;
  prepare(t, bases, key_base, lane, &query, &key);
  let own_row = cache_row(slot, kv_head, past);
  let local = vec3u(lane, 0u, 0u);
  let writes = group.x == 0u;
  var score = vec4f();
  var sums: Heads;
  for (var j = 0u; j * LANES < D4; j++) {                   // a row's keys first, as its blocks follow one another
    let d4 = j * LANES + lane;
    remember(true, own_row, d4, key[j], writes && d4 < D4, local);
    score += key[j] * query[j];
  }
  for (var j = 0u; j * LANES < D4; j++) {
    let d4 = j * LANES + lane;
    let v = select(vec4f(), qkv[value_base + min(d4, D4 - 1u)], d4 < D4);
    remember(false, own_row, d4, v, writes && d4 < D4, local);
    sums[j] = mat4x4f(v, v, v, v);
  }

  var m = subgroupAdd(score);
  var l = vec4f(select(0.0, 1.0, lane == 0u));             // of this lane's keys
  var p: array<vec4f, GROUPS>;                             // this lane's scores, then weights
  for (var base = 0u; base < past; base += GROUPS * width) {
    let keys = min(GROUPS * width, past - base);
    var top = m;
    for (var g = 0u; g * LANES < keys; g++) {
      let first = base + g * LANES;
      let at = cache_row(slot, kv_head, first) + min(lane, past - 1u - first);   // rows past the last may hold anything
      var s = vec4f();
      for (var j = 0u; j * LANES < D4; j++) {
        let held = query[j];
        for (var i = 0u; i < min(width, D4 - j * LANES); i++) {
          s += key4(at, j * LANES + i) * from_lane(held, i);
        }
      }
      p[g] = select(vec4f(LOWEST), s, first + lane < past);
      top = max(top, p[g]);
    }
    top = subgroupMax(top);
    let shrink = exp(m - top);
    m = top;
    l *= shrink;
    for (var g = 0u; g * LANES < keys; g++) {
      p[g] = exp(p[g] - m);
      l += p[g];
    }
    for (var j = 0u; j * LANES < D4; j++) {
      let d4 = min(j * LANES + lane, D4 - 1u);
      var o = scale_heads(sums[j], shrink);
      for (var g = 0u; g * LANES < keys; g++) {
        let weights = p[g];
        let first = base + g * LANES;
        let row = cache_row(slot, kv_head, first);
        for (var i = 0u; i < min(width, past - first); i++) {
          o = outer(o, subgroupShuffle(weights, i), value4(row + i, d4));
        }
      }
      sums[j] = o;
    }
  }

  l = subgroupAdd(l);
  for (var j = 0u; j * LANES < D4; j++) {
    let d4 = j * LANES + lane;
    let o = scale_heads(sums[j], 1.0 / l);
    if (d4 < D4) {
      for (var h = head; h <= last_head; h++) {
        y[(t * HEADS + h) * D4 + d4] = gated(o[h - head], t, h, d4);
      }
    }
  }
}
