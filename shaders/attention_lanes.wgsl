// attention_lanes: attention on a software adapter, one token or many:
//   y[t,h] = Σ_k softmax_k(q[t,h]·K_k · D^-½) · V_k,   k = 0 … past + t
//   q: [T, Nh, D]    K, V: the cache    y: [T, Nh·D]
//   one workgroup of exactly one subgroup (LANES wide) per ROWS (4 or 8) rows of a kv head, a row being a (token, query
//   head of the group) pair, token-major. For scores a lane takes a key, for values four dims.
// A processor's vector unit multiplies fast, but a load per lane costs some 50 multiply-adds, and barriers make it switch
// between invocations: so there are none, and what a lane has loaded goes to the others by shuffles. Matrices hold four
// rows: a column of `held` is one row's queries, a column of `sums` one row's output.
// Uses step, kv_cache and attention_gate or attention_plain
enable subgroups;

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override LANES: u32;     // 4 to 64
override ROWS: u32;
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> K: array<vec4f>;
@group(0) @binding(3) var<storage, read> V: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

const LOWEST = -3.4e38;
const GROUPS = 8u;                          // of LANES keys, whose weights a lane remembers
const SPAN = 4u;                            // vec4s of head width that lanes hold of each row
override D4: u32 = D / 4u;
override GROUP: u32 = HEADS / KV_HEADS;

// where the queries of rows row … row + 3 begin; rows past the last repeat it and are not stored
fn starts(row: u32, last_row: u32, kv_head: u32) -> vec4u {
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(last_row));
  return (rows / GROUP * HEADS + kv_head * GROUP + rows % GROUP) * D4;
}

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

fn write_rows(sums: mat4x4f, row: u32, rows: u32, kv_head: u32, d4: u32) {
  for (var j = 0u; j < 4u && row + j < rows && d4 < D4; j++) {
    let t = (row + j) / GROUP;
    let head = kv_head * GROUP + (row + j) % GROUP;
    y[(t * HEADS + head) * D4 + d4] = gated(sums[j], t, head, d4);
  }
}

@compute @workgroup_size(LANES)
fn attention_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let rows = step.tokens * GROUP;
  let row = (groups.x - 1u - group.x) * ROWS;              // the longest first
  let last_row = min(row + ROWS, rows) - 1u;
  let last_key = step.past + last_row / GROUP;
  let kv_head = group.y;
  let start_a = starts(row, last_row, kv_head);
  let start_b = starts(row + 4u, last_row, kv_head);
  let index = vec4u(0u, 1u, 2u, 3u) + row;
  let horizon_a = step.past + index / GROUP;               // the last key that a row sees
  let horizon_b = step.past + (index + 4u) / GROUP;
  let scale = 1.0 / sqrt(f32(D));

  var m_a = vec4f(LOWEST);
  var m_b = vec4f(LOWEST);
  var l_a = vec4f(0.0);                                    // of this lane's keys
  var l_b = vec4f(0.0);
  var p_a: array<vec4f, GROUPS>;                           // this lane's scores, then weights
  var p_b: array<vec4f, GROUPS>;
  var sums_a: array<mat4x4f, 16>;                          // of this lane's dims 4·(lane + LANES·j)
  var sums_b: array<mat4x4f, 16>;
  for (var base = 0u; base <= last_key; base += GROUPS * LANES) {
    let used = min(GROUPS, (last_key - base) / LANES + 1u);
    var top_a = m_a;
    var top_b = m_b;
    for (var g = 0u; g < used; g += 2u) {
      let key0 = base + g * LANES + lane;
      let key1 = key0 + LANES;
      let row0 = cache_row(kv_head, min(key0, last_key)) * D4;
      let row1 = cache_row(kv_head, min(key1, last_key)) * D4;
      var s0_a = vec4f(0.0);
      var s0_b = vec4f(0.0);
      var s1_a = vec4f(0.0);
      var s1_b = vec4f(0.0);
      for (var d4 = 0u; d4 < D4; d4 += SPAN) {
        let held_a = hold(start_a, d4 + lane % SPAN);
        var held_b = mat4x4f();
        if (ROWS > 4u) { held_b = hold(start_b, d4 + lane % SPAN); }
        for (var j = 0u; j < SPAN; j++) {
          let k0 = K[row0 + min(d4 + j, D4 - 1u)];
          let k1 = K[row1 + min(d4 + j, D4 - 1u)];
          let q_a = from_lane(held_a, j);
          s0_a += k0 * q_a;
          s1_a += k1 * q_a;
          if (ROWS > 4u) {
            let q_b = from_lane(held_b, j);
            s0_b += k0 * q_b;
            s1_b += k1 * q_b;
          }
        }
      }
      p_a[g] = select(vec4f(LOWEST), s0_a * scale, vec4u(key0) <= horizon_a);
      p_b[g] = select(vec4f(LOWEST), s0_b * scale, vec4u(key0) <= horizon_b);
      p_a[g + 1u] = select(vec4f(LOWEST), s1_a * scale, vec4u(key1) <= horizon_a);
      p_b[g + 1u] = select(vec4f(LOWEST), s1_b * scale, vec4u(key1) <= horizon_b);
      top_a = max(top_a, max(p_a[g], p_a[g + 1u]));
      top_b = max(top_b, max(p_b[g], p_b[g + 1u]));
    }
    top_a = subgroupMax(top_a);
    top_b = subgroupMax(top_b);
    let shrink_a = exp(m_a - top_a);
    let shrink_b = exp(m_b - top_b);
    m_a = top_a;
    m_b = top_b;
    l_a *= shrink_a;
    l_b *= shrink_b;
    for (var g = 0u; g < used; g++) {
      p_a[g] = exp(p_a[g] - m_a);
      p_b[g] = exp(p_b[g] - m_b);
      l_a += p_a[g];
      l_b += p_b[g];
    }

    for (var column = 0u; column < D4; column += LANES) {
      let d4 = min(column + lane, D4 - 1u);
      var o_a = scale_rows(sums_a[column / LANES], shrink_a);
      var o_b = scale_rows(sums_b[column / LANES], shrink_b);
      for (var g = 0u; g < used; g++) {
        let weights_a = p_a[g];
        let weights_b = p_b[g];
        for (var j = 0u; j < LANES; j++) {
          let v = V[cache_row(kv_head, min(base + g * LANES + j, last_key)) * D4 + d4];
          o_a += outer(subgroupShuffle(weights_a, j), v);
          if (ROWS > 4u) { o_b += outer(subgroupShuffle(weights_b, j), v); }
        }
      }
      sums_a[column / LANES] = o_a;
      sums_b[column / LANES] = o_b;
    }
  }

  l_a = subgroupAdd(l_a);
  l_b = subgroupAdd(l_b);
  for (var column = 0u; column < D4; column += LANES) {
    write_rows(scale_rows(sums_a[column / LANES], 1.0 / l_a), row, rows, kv_head, column + lane);
    if (ROWS > 4u) {
      write_rows(scale_rows(sums_b[column / LANES], 1.0 / l_b), row + 4u, rows, kv_head, column + lane);
    }
  }
}
