// delta_chunk: what a chunk of 32 tokens needs that does not depend on the state, for all chunks and heads at once.
// With D_ij = e^(g_(j+1) + … + g_i) for i ≥ j, normed rows kn, qn and β:
//   A = strict lower(β_i (kn_i·kn_j) D_ij);  M = (I + A)⁻¹ by forward substitution;  P = lower((qn_i·kn_j) D_ij)
//   qkv: [T, C] after the convolution    u: [T, STRIDE] = qkv | z | b | a
//   inner: [chunks, Nv, 64, 32] = M·diag(β), then P
//   factors: [chunks, Nv, 32, 4] = e^(g_0+…+g_i) / |k_i|,  the same · SCALE / |q_i|,  e^(g_(i+1)+…+g_31) / |k_i|,  and
//     e^(g_0+…+g_31): the decays from the chunk's start to i, from i to its end, and over all of it
//   one workgroup per (head, chunk); invocation (r, j) makes column j of every ROWS-th group of four rows
//   uses step, delta_gates
// Tokens beyond the run have β = 0 and g = 0; their rows are read from the last token, as garbage may be NaN.
const CHUNK = 32u;
override STRIDE: u32;
override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override DK: u32;
override C: u32;
override SCALE: f32;   // Dk^-0.5
override ROWS: u32;    // row lanes, a divisor of 8; 1 makes every row index uniform
override KEY_QUADS: u32 = DK / 4u;
override WG: u32 = ROWS * CHUNK;

@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> A_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> inner: array<f32>;
@group(0) @binding(5) var<storage, read_write> factors: array<vec4f>;
@group(0) @binding(6) var<storage, read> step: Step;

var<workgroup> A: array<f32, 1024>;
var<workgroup> D: array<f32, 1024>;      // then M
var<workgroup> beta: array<f32, CHUNK>;
var<workgroup> g: array<f32, CHUNK>;
var<workgroup> normK: array<f32, CHUNK>;
var<workgroup> normQ: array<f32, CHUNK>;

@compute @workgroup_size(WG)
fn delta_chunk(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = group.y * CHUNK;
  let at = group.y * VALUE_HEADS + head;
  let j = lane % CHUNK;
  let r = select(lane / CHUNK, 0u, ROWS == 1u);
  if (r == 0u) { gatesAndNorms(head, first, j); }
  workgroupBarrier();
  if (r == 0u) { decays(at, j); }
  workgroupBarrier();
  products(head, first, at, r, j);
  workgroupBarrier();
  if (r == 0u) { invert(at, j); }
}

fn rowOf(token: u32) -> u32 {
  return min(token, step.tokens - 1u) * (C / 4u);
}

fn queryAt(head: u32) -> u32 {
  return head / (VALUE_HEADS / KEY_HEADS) * KEY_QUADS;
}

fn keyAt(head: u32) -> u32 {
  return KEY_HEADS * KEY_QUADS + queryAt(head);
}

fn gatesAndNorms(head: u32, first: u32, i: u32) {
  let token = first + i;
  let row = rowOf(token);
  var squares = vec2f(0.0);
  for (var n = 0u; n < KEY_QUADS; n++) {
    let q = qkv[row + queryAt(head) + n];
    let k = qkv[row + keyAt(head) + n];
    squares += vec2f(dot(q, q), dot(k, k));
  }
  let scales = inverseSqrt(squares + 1e-6);
  normQ[i] = scales.x * SCALE;
  normK[i] = scales.y;
  beta[i] = 0.0;
  g[i] = 0.0;
  if (token < step.tokens) {
    let gates = token * STRIDE + STRIDE - 2u * VALUE_HEADS + head;
    beta[i] = sigmoid(u[gates]);
    g[i] = logDecay(u[gates + VALUE_HEADS], A_log[head], dt_bias[head]);
  }
}

// Decays as sums between two tokens, never as differences of sums from the chunk's start, which would cancel.
fn decays(at: u32, j: u32) {
  var before = 0.0;
  var after = 0.0;
  for (var i = 0u; i < CHUNK; i++) {
    if (i <= j) { before += g[i]; } else { after += g[i]; }
    D[i * CHUNK + j] = select(exp(after), 0.0, i < j);
  }
  factors[at * CHUNK + j] =
    vec4f(exp(before) * normK[j], exp(before) * normQ[j], exp(after) * normK[j], exp(before + after));
}

fn products(head: u32, first: u32, at: u32, r: u32, j: u32) {
  let rowJ = rowOf(first + j) + keyAt(head);
  for (var i = 4u * r; i < CHUNK; i += 4u * ROWS) {
    let row0 = rowOf(first + i);
    let row1 = rowOf(first + i + 1u);
    let row2 = rowOf(first + i + 2u);
    let row3 = rowOf(first + i + 3u);
    var kk = vec4f(0.0);
    var qk = vec4f(0.0);
    for (var n = 0u; n < KEY_QUADS; n++) {
      let k = qkv[rowJ + n];
      let key = keyAt(head) + n;
      kk += vec4f(dot(qkv[row0 + key], k), dot(qkv[row1 + key], k), dot(qkv[row2 + key], k), dot(qkv[row3 + key], k));
      let query = queryAt(head) + n;
      qk += vec4f(dot(qkv[row0 + query], k), dot(qkv[row1 + query], k), dot(qkv[row2 + query], k), dot(qkv[row3 + query], k));
    }
    note(at, i, j, kk.x, qk.x);
    note(at, i + 1u, j, kk.y, qk.y);
    note(at, i + 2u, j, kk.z, qk.z);
    note(at, i + 3u, j, kk.w, qk.w);
  }
}

fn note(at: u32, i: u32, j: u32, kk: f32, qk: f32) {
  let decay = D[i * CHUNK + j] * normK[j];
  A[i * CHUNK + j] = select(0.0, beta[i] * normK[i] * kk * decay, i > j);
  inner[(at * 64u + 32u + i) * CHUNK + j] = normQ[i] * qk * decay;
}

// Column j of M, row after row: M_ij = −Σ_(n<i) A_in M_nj below the diagonal. It takes the place of D.
fn invert(at: u32, j: u32) {
  for (var i = 0u; i < CHUNK; i++) {
    var sum = 0.0;
    for (var n = 0u; n < i; n++) { sum += A[i * CHUNK + n] * D[n * CHUNK + j]; }
    let m = select(-sum, 1.0, i == j);
    D[i * CHUNK + j] = m;
    inner[(at * 64u + i) * CHUNK + j] = m * beta[j];
  }
}
