// attention_tile: many query tokens against the cache, causal, softmax on the run (flash attention):
//   y[t,h] = Σ_k softmax_k(q[t,h]·K_k · D^-½) · V_k,   k = 0 … past + t
//   q: [T, Nh, D]    K, V: the cache    y: [T, Nh·D]
//   A workgroup takes ROWS rows of one kv head, a row being a (token, query head of the group) pair, token-major, and
//   walks the keys in tiles of KEYS. Lane (c, r) computes scores of rows 4r … 4r+3 and keys c, c+16 (of 64: c+32, c+48
//   too), and owns columns 4·(c + 16j), j < 4, of those rows' output.  Uses steps/sequence, kv_cache, kv_read/* and attention_gate or attention_plain
override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override ROWS: u32;                               // 16, 32 or 64
override KEYS: u32;                               // 32 or 64
override FIRST: u32 = 0;                          // rows that other dispatches take
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

const DEPTH = 4u;                                 // vec4s of head width staged at once
const LOWEST = -3.4e38;
override D4: u32 = D / 4u;
override GROUP: u32 = HEADS / KV_HEADS;
override FOURS: u32 = ROWS / 4u;
override WG: u32 = 16u * FOURS;                   // a lane a query of a stage
var<workgroup> queries: array<vec4f, DEPTH * ROWS>;
var<workgroup> keys: array<vec4f, DEPTH * KEYS>;
var<workgroup> weights: array<vec4f, KEYS * FOURS>; // a component a row
var<workgroup> lanes: array<vec4f, 16u * FOURS>;  // for what all lanes of a row share

// stages DEPTH vec4s of the rows' queries and of the tile's `count` keys, from d4 on
fn stage(first_row: u32, last_row: u32, kv_head: u32, page: u32, count: u32, d4: u32, i: u32) {
  let row = min(first_row + i % ROWS, last_row);
  let at = d4 + i / ROWS;
  let start = (row / GROUP * HEADS + kv_head * GROUP + row % GROUP) * D4;
  queries[i] = select(vec4f(0.0), q[start + min(at, D4 - 1u)], at < D4);
  for (var n = 0u; n < (KEYS * DEPTH + WG - 1u) / WG; n++) { // a constant: they are loaded together
    let j = WG * n + i;
    let depth = d4 + j % DEPTH;
    let key = page + min(j / DEPTH, count - 1u);
    if (j < KEYS * DEPTH) {
      keys[j % DEPTH * KEYS + j / DEPTH] = select(vec4f(0.0), key4(key, min(depth, D4 - 1u)), depth < D4);
    }
  }
}

fn scale_rows(o: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(o[0] * by.x, o[1] * by.y, o[2] * by.z, o[3] * by.w);
}

fn outer(p: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(p.x * v, p.y * v, p.z * v, p.w * v);
}

fn write_rows(o: mat4x4f, first_row: u32, rows: u32, kv_head: u32, d4: u32) {
  if (d4 >= D4) { return; }
  for (var j = 0u; j < 4u && first_row + j < rows; j++) {
    let t = (first_row + j) / GROUP;
    let head = kv_head * GROUP + (first_row + j) % GROUP;
    y[(t * HEADS + head) * D4 + d4] = gated(o[j], t, head, d4);
  }
}

@compute @workgroup_size(16, FOURS)
fn attention_tile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let rows = step.tokens * GROUP;
  let first_row = FIRST + (groups.x - 1u - group.x) * ROWS;    // the longest first
  if (first_row >= rows) { return; }
  let last_row = min(first_row + ROWS, rows) - 1u;
  let last_key = step.past + last_row / GROUP;
  let kv_head = group.y;
  let c = local.x;
  let r = local.y;
  let mine = vec4u(first_row + 4u * r) + vec4u(0u, 1u, 2u, 3u);
  let horizon = vec4u(step.past) + min(mine, vec4u(last_row)) / vec4u(GROUP);   // the last key that a row sees

  var m = vec4f(LOWEST);
  var l = vec4f(0.0);                                          // of this lane's keys
  var o0 = mat4x4f();
  var o1 = mat4x4f();
  var o2 = mat4x4f();
  var o3 = mat4x4f();
  for (var base = 0u; base <= last_key; base += KEYS) {
    let page = cache_row(step.slot, kv_head, base);            // a tile is one page
    let count = min(KEYS, last_key + 1u - base);               // rows past the end may hold anything
    // a column a key, a component a row
    var s = mat4x4f();
    for (var d4 = 0u; d4 < D4; d4 += DEPTH) {
      workgroupBarrier();
      stage(first_row, last_row, kv_head, page, count, d4, i);
      workgroupBarrier();
      for (var d = 0u; d < DEPTH; d++) {
        let q0 = queries[d * ROWS + 4u * r];
        let q1 = queries[d * ROWS + 4u * r + 1u];
        let q2 = queries[d * ROWS + 4u * r + 2u];
        let q3 = queries[d * ROWS + 4u * r + 3u];
        let k0 = keys[d * KEYS + c];
        let k1 = keys[d * KEYS + c + 16u];
        s[0] += vec4f(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
        s[1] += vec4f(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
        if (KEYS > 32u) {
          let k2 = keys[d * KEYS + c + 32u];
          let k3 = keys[d * KEYS + c + 48u];
          s[2] += vec4f(dot(q0, k2), dot(q1, k2), dot(q2, k2), dot(q3, k2));
          s[3] += vec4f(dot(q0, k3), dot(q1, k3), dot(q2, k3), dot(q3, k3));
        }
      }
    }

    let scale = 1.0 / sqrt(f32(D));
    let key = vec4u(base + c) + vec4u(0u, 16u, 32u, 48u);
    s[0] = select(vec4f(LOWEST), s[0] * scale, vec4u(key.x) <= horizon);
    s[1] = select(vec4f(LOWEST), s[1] * scale, vec4u(key.y) <= horizon);
    s[2] = select(vec4f(LOWEST), s[2] * scale, (vec4u(key.z) <= horizon) & vec4<bool>(KEYS > 32u));
    s[3] = select(vec4f(LOWEST), s[3] * scale, (vec4u(key.w) <= horizon) & vec4<bool>(KEYS > 32u));
    lanes[c * FOURS + r] = max(max(s[0], s[1]), max(s[2], s[3]));
    workgroupBarrier();
    var top = m;
    for (var j = 0u; j < 16u; j++) {
      top = max(top, lanes[j * FOURS + r]);
    }
    let shrink = exp(m - top);
    m = top;
    let p = mat4x4f(exp(s[0] - m), exp(s[1] - m), exp(s[2] - m), exp(s[3] - m));
    l = l * shrink + p[0] + p[1] + p[2] + p[3];
    weights[c * FOURS + r] = p[0];
    weights[(c + 16u) * FOURS + r] = p[1];
    if (KEYS > 32u) {
      weights[(c + 32u) * FOURS + r] = p[2];
      weights[(c + 48u) * FOURS + r] = p[3];
    }
    o0 = scale_rows(o0, shrink);
    if (D4 > 16u) { o1 = scale_rows(o1, shrink); }
    if (D4 > 32u) { o2 = scale_rows(o2, shrink); }
    if (D4 > 48u) { o3 = scale_rows(o3, shrink); }
    workgroupBarrier();

    for (var k = 0u; k < count; k++) {
      let w = weights[k * FOURS + r];
      o0 += outer(w, value4(page + k, min(c, D4 - 1u)));
      if (D4 > 16u) { o1 += outer(w, value4(page + k, min(c + 16u, D4 - 1u))); }
      if (D4 > 32u) { o2 += outer(w, value4(page + k, min(c + 32u, D4 - 1u))); }
      if (D4 > 48u) { o3 += outer(w, value4(page + k, min(c + 48u, D4 - 1u))); }
    }
  }

  workgroupBarrier();
  lanes[c * FOURS + r] = l;
  workgroupBarrier();
  l = vec4f(0.0);
  for (var j = 0u; j < 16u; j++) {
    l += lanes[j * FOURS + r];
  }
  write_rows(scale_rows(o0, 1.0 / l), first_row + 4u * r, rows, kv_head, c);
  if (D4 > 16u) { write_rows(scale_rows(o1, 1.0 / l), first_row + 4u * r, rows, kv_head, c + 16u); }
  if (D4 > 32u) { write_rows(scale_rows(o2, 1.0 / l), first_row + 4u * r, rows, kv_head, c + 32u); }
  if (D4 > 48u) { write_rows(scale_rows(o3, 1.0 / l), first_row + 4u * r, rows, kv_head, c + 48u); }
}
