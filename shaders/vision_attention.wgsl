// vision_attention: every patch of a picture attends to every patch of it, softmax on the run (flash attention):
//   y[t,h] = Σ_k softmax_k(q[t,h]·k[k,h] · D^-½) · v[k,h],   k < T
//   qkv: [T, 3·HEADS·D] = q | k | v, head by head, turned already    y: [T, HEADS·D]
//   A workgroup takes ROWS patches from FIRST on, and one head, and walks all patches in tiles of KEYS. Lane (c, r)
//   computes scores of rows 4r … 4r+3 and keys c, c+16, c+32, c+48, and owns columns 4·(c + 16j), j < WIDE, of those
//   rows' output.  D a multiple of 4, at most 128
override HEADS: u32;
override D: u32;
override FIRST: u32;
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> step: Step;

const ROWS = 32u;
const KEYS = 64u;
const DEPTH = 4u;                                 // vec4s of head width staged at once
const WG = 128u;
const LOWEST = -3.4e38;
override D4: u32 = D / 4u;
override C4: u32 = HEADS * D / 4u;
var<workgroup> queries: array<vec4f, 128>;        // [DEPTH][ROWS]
var<workgroup> keys: array<vec4f, 256>;           // [DEPTH][KEYS]
var<workgroup> weights: array<vec4f, 512>;        // [KEYS][ROWS / 4], a component a row
var<workgroup> lanes: array<vec4f, 128>;          // [16][ROWS / 4], for what all lanes of a row share

// four values of a query (0), key (1) or value (2) of patch t; zero past the head's width
fn value_of(which: u32, t: u32, head: u32, d4: u32) -> vec4f {
  let value = qkv[t * 3u * C4 + which * C4 + head * D4 + min(d4, D4 - 1u)];
  return select(vec4f(0.0), value, d4 < D4);
}

// stages DEPTH vec4s of the rows' queries and of the tile's keys, from d4 on; patches past the end are the last one
fn stage(first_row: u32, head: u32, base: u32, d4: u32, i: u32) {
  let last = step.tokens - 1u;
  queries[i] = value_of(0u, min(first_row + i % ROWS, last), head, d4 + i / ROWS);
  for (var j = i; j < KEYS * DEPTH; j += WG) {
    keys[j % DEPTH * KEYS + j / DEPTH] = value_of(1u, min(base + j / DEPTH, last), head, d4 + j % DEPTH);
  }
}

fn scale_rows(o: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(o[0] * by.x, o[1] * by.y, o[2] * by.z, o[3] * by.w);
}

fn outer(p: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(p.x * v, p.y * v, p.z * v, p.w * v);
}

fn write_rows(o: mat4x4f, first_row: u32, head: u32, d4: u32) {
  if (d4 >= D4) { return; }
  for (var j = 0u; j < 4u && first_row + j < step.tokens; j++) {
    y[(first_row + j) * C4 + head * D4 + d4] = o[j];
  }
}

@compute @workgroup_size(16, 8)
fn vision_attention(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) i: u32,
) {
  let first_row = FIRST + group.x * ROWS;
  if (first_row >= step.tokens) { return; }
  let head = group.y;
  let c = local.x;
  let r = local.y;

  var m = vec4f(LOWEST);
  var l = vec4f(0.0);                                          // of this lane's keys
  var o0 = mat4x4f();
  var o1 = mat4x4f();
  for (var base = 0u; base < step.tokens; base += KEYS) {
    // a column a key, a component a row
    var s = mat4x4f();
    for (var d4 = 0u; d4 < D4; d4 += DEPTH) {
      workgroupBarrier();
      stage(first_row, head, base, d4, i);
      workgroupBarrier();
      for (var d = 0u; d < DEPTH; d++) {
        let q0 = queries[d * ROWS + 4u * r];
        let q1 = queries[d * ROWS + 4u * r + 1u];
        let q2 = queries[d * ROWS + 4u * r + 2u];
        let q3 = queries[d * ROWS + 4u * r + 3u];
        let k0 = keys[d * KEYS + c];
        let k1 = keys[d * KEYS + c + 16u];
        let k2 = keys[d * KEYS + c + 32u];
        let k3 = keys[d * KEYS + c + 48u];
        s[0] += vec4f(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
        s[1] += vec4f(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
        s[2] += vec4f(dot(q0, k2), dot(q1, k2), dot(q2, k2), dot(q3, k2));
        s[3] += vec4f(dot(q0, k3), dot(q1, k3), dot(q2, k3), dot(q3, k3));
      }
    }

    let scale = 1.0 / sqrt(f32(D));
    let key = vec4u(base + c) + vec4u(0u, 16u, 32u, 48u);
    s[0] = select(vec4f(LOWEST), s[0] * scale, key.x < step.tokens);
    s[1] = select(vec4f(LOWEST), s[1] * scale, key.y < step.tokens);
    s[2] = select(vec4f(LOWEST), s[2] * scale, key.z < step.tokens);
    s[3] = select(vec4f(LOWEST), s[3] * scale, key.w < step.tokens);
    lanes[c * 8u + r] = max(max(s[0], s[1]), max(s[2], s[3]));
    workgroupBarrier();
    var top = m;
    for (var j = 0u; j < 16u; j++) {
      top = max(top, lanes[j * 8u + r]);
    }
    let shrink = exp(m - top);
    m = top;
    let p = mat4x4f(exp(s[0] - m), exp(s[1] - m), exp(s[2] - m), exp(s[3] - m));
    l = l * shrink + p[0] + p[1] + p[2] + p[3];
    weights[c * 8u + r] = p[0];
    weights[(c + 16u) * 8u + r] = p[1];
    weights[(c + 32u) * 8u + r] = p[2];
    weights[(c + 48u) * 8u + r] = p[3];
    o0 = scale_rows(o0, shrink);
    if (D4 > 16u) { o1 = scale_rows(o1, shrink); }
    workgroupBarrier();

    let count = min(KEYS, step.tokens - base);                 // rows of v past the end may hold anything
    for (var k = 0u; k < count; k++) {
      let w = weights[k * 8u + r];
      let row = (base + k) * 3u * C4 + 2u * C4 + head * D4;
      o0 += outer(w, qkv[row + min(c, D4 - 1u)]);
      if (D4 > 16u) { o1 += outer(w, qkv[row + min(c + 16u, D4 - 1u)]); }
    }
  }

  lanes[c * 8u + r] = l;                                       // free: the weights' barrier lies behind the last read
  workgroupBarrier();
  l = vec4f(0.0);
  for (var j = 0u; j < 16u; j++) {
    l += lanes[j * 8u + r];
  }
  write_rows(scale_rows(o0, 1.0 / l), first_row + 4u * r, head, c);
  if (D4 > 16u) { write_rows(scale_rows(o1, 1.0 / l), first_row + 4u * r, head, c + 16u); }
}
