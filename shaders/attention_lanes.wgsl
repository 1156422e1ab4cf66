// attention_lanes: attention on a software adapter, for one token or many:
//   y[t,h] = Σ_k softmax_k(q[t,h]·K_k · D^-½) · V_k,   k = 0 … past + t
//   q: [T, Nh, D]    K, V: the cache    y: [T, Nh·D]    past: of the token's own sequence
//   one workgroup of exactly one subgroup (LANES wide) per ROWS rows of a sequence's kv head, a row being a (token, query head of
//   the group) pair, token-major. For scores a lane takes a key, for values four dims.
// A processor's vector unit multiplies fast, but a load per lane costs some 50 multiply-adds, and barriers make it switch
// between invocations: so there are none, and what a lane has loaded goes to the others by shuffles, and serves eight rows
// where there are as many (a prompt's), and queries four keys of a lane. Inner loops are bounded by the subgroup's size, which
// no compiler knows: unrolled they take eight times as long to compile and run a tenth faster. Uses steps/*, kv_cache,
// kv_read/* and attention_gate or attention_plain
enable subgroups;

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override LANES: u32;     // 4 to 64
override ROWS: u32;      // 4 or 8
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

const LOWEST = -3.4e38;
const GROUPS = 8u;                          // of LANES keys of a page, whose weights a lane remembers
const SPAN = 4u;                            // vec4s of head width that the lanes hold of each row
override D4: u32 = D / 4u;
override GROUP: u32 = HEADS / KV_HEADS;

// where the queries of four rows, counted from token `first` on, begin; rows past the last repeat it and are not stored
fn starts(first: u32, row: u32, last_row: u32, kv_head: u32) -> vec4u {
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(last_row));
  return ((first + rows / GROUP) * HEADS + kv_head * GROUP + rows % GROUP) * D4;
}

// four dims of four rows' queries, a column a row
fn hold(start: vec4u, d4: u32) -> mat4x4f {
  if (d4 >= D4) { return mat4x4f(); }
  return mat4x4f(q[start.x + d4], q[start.y + d4], q[start.z + d4], q[start.w + d4]);
}

fn from_lane(held: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(
    subgroupShuffle(held[0], lane),
    subgroupShuffle(held[1], lane),
    subgroupShuffle(held[2], lane),
    subgroupShuffle(held[3], lane),
  );
}

// sums + weights · v, of four rows
fn outer(sums: mat4x4f, p: vec4f, v: vec4f) -> mat4x4f {
  return sums + mat4x4f(p.x * v, p.y * v, p.z * v, p.w * v);
}

fn scale_rows(sums: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

// A component a row: of the first four rows, and of the others, which stay unused where there are none.
struct Each {
  a: vec4f,
  b: vec4f,
}

// A column a row.
struct Sums {
  a: mat4x4f,
  b: mat4x4f,
}

// Of a lane's key in each of four groups.
struct Scores {
  a: Each,
  b: Each,
  c: Each,
  d: Each,
}

// Where a lane's key lies in each of four groups, the first of which begins at `first`. Past the last key it is that again:
// what is behind may hold anything.
fn four_groups(slot: u32, kv_head: u32, first: u32, lane: u32, last_key: u32) -> vec4u {
  let keys = min(vec4u(first + lane) + LANES * vec4u(0u, 1u, 2u, 3u), vec4u(last_key));
  if (4u * LANES <= PAGE) { return cache_row(slot, kv_head, first) + (keys - first); }   // all lie in one page
  return vec4u(
    cache_row(slot, kv_head, keys.x),
    cache_row(slot, kv_head, keys.y),
    cache_row(slot, kv_head, keys.z),
    cache_row(slot, kv_head, keys.w),
  );
}

fn with_key(s: Each, key: vec4f, query: mat4x4f, too: mat4x4f) -> Each {
  if (ROWS == 8u) { return Each(s.a + key * query, s.b + key * too); }
  return Each(s.a + key * query, s.b);
}

// Scores of a key, or what is less than any where a row does not see it.
fn seen(s: Each, key: u32, horizon: vec4u, horizons: vec4u) -> Each {
  let near = select(vec4f(LOWEST), s.a / sqrt(f32(D)), vec4u(key) <= horizon);
  return Each(near, select(vec4f(LOWEST), s.b / sqrt(f32(D)), vec4u(key) <= horizons));
}

@compute @workgroup_size(LANES)
fn attention_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) width: u32,                      // LANES
) {
  let first = first_of(group.z);
  let slot = slot_of(first);
  let rows = count_of(group.z) * GROUP;
  let row = (groups.x - 1u - group.x) * ROWS;              // the longest first
  let last_row = min(row + ROWS, rows) - 1u;
  let last_key = row_of(first) + last_row / GROUP;
  let kv_head = group.y;
  let span = SPAN * width / LANES;                         // SPAN
  let start = starts(first, row, last_row, kv_head);
  let others = starts(first, row + 4u, last_row, kv_head);
  let quad = vec4u(0u, 1u, 2u, 3u);
  let horizon = row_of(first) + (row + quad) / GROUP;      // the last key that a row sees
  let horizons = row_of(first) + (row + 4u + quad) / GROUP;

  var m = Each(vec4f(LOWEST), vec4f(LOWEST));
  var l = Each();                                          // of this lane's keys
  var p: array<Each, GROUPS>;                              // this lane's scores, then weights
  var sums: array<Sums, 16>;                               // dims 4·(lane + LANES·j)
  for (var base = 0u; base <= last_key; base += GROUPS * width) {
    let keys = min(GROUPS * width, last_key - base + 1u);
    var top = m;
    for (var g = 0u; g * LANES < keys; g += 4u) {
      let at = four_groups(slot, kv_head, base + g * LANES, lane, last_key);
      var s = Scores();
      for (var d4 = 0u; d4 < D4; d4 += SPAN) {
        let own = d4 + lane % SPAN;
        let held = hold(start, own);
        var held_too = mat4x4f();
        if (ROWS == 8u) { held_too = hold(others, own); }
        for (var j = 0u; j < span; j++) {
          let d = min(d4 + j, D4 - 1u);
          let query = from_lane(held, j);
          var too = mat4x4f();
          if (ROWS == 8u) { too = from_lane(held_too, j); }
          s.a = with_key(s.a, key4(at.x, d), query, too);
          s.b = with_key(s.b, key4(at.y, d), query, too);
          s.c = with_key(s.c, key4(at.z, d), query, too);
          s.d = with_key(s.d, key4(at.w, d), query, too);
        }
      }
      let key = base + g * LANES + lane;
      p[g] = seen(s.a, key, horizon, horizons);
      p[g + 1u] = seen(s.b, key + LANES, horizon, horizons);
      p[g + 2u] = seen(s.c, key + 2u * LANES, horizon, horizons);
      p[g + 3u] = seen(s.d, key + 3u * LANES, horizon, horizons);
      top.a = max(max(max(p[g].a, p[g + 1u].a), max(p[g + 2u].a, p[g + 3u].a)), top.a);
      if (ROWS == 8u) {
        top.b = max(max(max(p[g].b, p[g + 1u].b), max(p[g + 2u].b, p[g + 3u].b)), top.b);
      }
    }
    top.a = subgroupMax(top.a);
    let shrink = exp(m.a - top.a);
    l.a *= shrink;
    var shrinks = vec4f();
    if (ROWS == 8u) {
      top.b = subgroupMax(top.b);
      shrinks = exp(m.b - top.b);
      l.b *= shrinks;
    }
    m = top;
    for (var g = 0u; g * LANES < keys; g++) {
      p[g].a = exp(p[g].a - m.a);
      l.a += p[g].a;
      if (ROWS == 8u) {
        p[g].b = exp(p[g].b - m.b);
        l.b += p[g].b;
      }
    }
    for (var column = 0u; column < D4; column += LANES) {
      let d4 = min(column + lane, D4 - 1u);
      var o = scale_rows(sums[column / LANES].a, shrink);
      var o_too = mat4x4f();
      if (ROWS == 8u) { o_too = scale_rows(sums[column / LANES].b, shrinks); }
      for (var g = 0u; g * LANES < keys; g++) {
        let weights = p[g];
        let group_key = base + g * LANES;
        let row = cache_row(slot, kv_head, group_key);
        for (var j = 0u; j < width; j++) {
          let four = value4(row + min(j, last_key - group_key), d4);
          o = outer(o, subgroupShuffle(weights.a, j), four);
          if (ROWS == 8u) { o_too = outer(o_too, subgroupShuffle(weights.b, j), four); }
        }
      }
      sums[column / LANES].a = o;
      if (ROWS == 8u) { sums[column / LANES].b = o_too; }
    }
  }

  l.a = subgroupAdd(l.a);
  l.b = subgroupAdd(l.b);
  for (var d4 = lane; d4 < D4; d4 += LANES) {
    let o = scale_rows(sums[d4 / LANES].a, 1.0 / l.a);
    var o_too = mat4x4f();
    if (ROWS == 8u) { o_too = scale_rows(sums[d4 / LANES].b, 1.0 / l.b); }
    for (var j = 0u; row + j <= last_row; j++) {
      let t = first + (row + j) / GROUP;
      let head = kv_head * GROUP + (row + j) % GROUP;
      let value = select(o_too[j % 4u], o[j % 4u], j < 4u);
      y[(t * HEADS + head) * D4 + d4] = gated(value, t, head, d4);
    }
  }
}
