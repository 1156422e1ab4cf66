// attention_lanes: attention on a software adapter, for one token or many:
//   y[t,h] = Σ_k softmax_k(q[t,h]·K_k · D^-½) · V_k,   k = 0 … past + t
//   q: [T, Nh, D]    K, V: the cache    y: [T, Nh·D]    past: of the token's own sequence
//   one workgroup of exactly one subgroup (LANES wide) per four rows of a sequence's kv head, a row being a (token, query head of
//   the group) pair, token-major. For scores a lane takes a key, for values four dims.
// A processor's vector unit multiplies fast, but a load per lane costs some 50 multiply-adds, and barriers make it switch
// between invocations: so there are none, and what a lane has loaded goes to the others by shuffles. Inner loops are
// bounded by the subgroup's size, which no compiler knows: unrolled they take eight times as long to compile and run a
// tenth faster. Uses steps/*, kv_cache and attention_gate or attention_plain
enable subgroups;

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override LANES: u32;     // 4 to 64
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> K: array<vec4f>;
@group(0) @binding(3) var<storage, read> V: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

const LOWEST = -3.4e38;
const ROWS = 4u;
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

fn outer(p: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(p.x * v, p.y * v, p.z * v, p.w * v);
}

fn scale_rows(sums: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
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
  let horizon = row_of(first) + vec4u(row, row + 1u, row + 2u, row + 3u) / GROUP;   // the last key that a row sees

  var m = vec4f(LOWEST);                                   // a component a row
  var l = vec4f(0.0);                                      // of this lane's keys
  var p: array<vec4f, GROUPS>;                             // this lane's scores, then weights
  var sums: array<mat4x4f, 16>;                            // dims 4·(lane + LANES·j), a column a row
  for (var base = 0u; base <= last_key; base += GROUPS * width) {
    let keys = min(GROUPS * width, last_key - base + 1u);
    var top = m;
    for (var g = 0u; g * LANES < keys; g++) {
      let group_key = base + g * LANES;
      let key = group_key + lane;
      let at = (cache_row(slot, kv_head, group_key) + min(lane, last_key - group_key)) * D4;   // rows past the last may hold anything
      var s = vec4f(0.0);
      for (var d4 = 0u; d4 < D4; d4 += SPAN) {
        let held = hold(start, d4 + lane % SPAN);
        for (var j = 0u; j < span; j++) {
          s += K[at + min(d4 + j, D4 - 1u)] * from_lane(held, j);
        }
      }
      p[g] = select(vec4f(LOWEST), s / sqrt(f32(D)), vec4u(key) <= horizon);
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
    for (var column = 0u; column < D4; column += LANES) {
      let d4 = min(column + lane, D4 - 1u);
      var o = scale_rows(sums[column / LANES], shrink);
      for (var g = 0u; g * LANES < keys; g++) {
        let weights = p[g];
        let group_key = base + g * LANES;
        let row = cache_row(slot, kv_head, group_key);
        for (var j = 0u; j < width; j++) {
          o += outer(subgroupShuffle(weights, j), V[(row + min(j, last_key - group_key)) * D4 + d4]);
        }
      }
      sums[column / LANES] = o;
    }
  }

  l = subgroupAdd(l);
  for (var d4 = lane; d4 < D4; d4 += LANES) {
    let o = scale_rows(sums[d4 / LANES], 1.0 / l);
    for (var j = 0u; row + j <= last_row; j++) {
      let t = first + (row + j) / GROUP;
      let head = kv_head * GROUP + (row + j) % GROUP;
      y[(t * HEADS + head) * D4 + d4] = gated(o[j], t, head, d4);
    }
  }
}
