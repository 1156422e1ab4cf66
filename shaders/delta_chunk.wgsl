// delta_chunk: what a chunk of 32 tokens needs that does not depend on the state, for all chunks and heads at once.
// With normed rows kn, qn, and D of delta_decays:
//   A = strict lower(beta_i (kn_i·kn_j) D_ij);  M = (I + A)⁻¹ by forward substitution;  P = lower((qn_i·kn_j) D_ij)
//   qkv: [T, C] after the convolution    u: [T, STRIDE] = qkv | z | b | a
//   inner: [chunks, Nv, 64, 32] = M·diag(beta), then P
//   factors: [chunks, Nv, 32, 4] = e^(g_0+…+g_i) / |k_i|,  the same · SCALE / |q_i|,  e^(g_(i+1)+…+g_31) / |k_i|,  and
//     e^(g_0+…+g_31): the decays from the chunk's start to i, from i to its end, and over all of it
//   one workgroup per (head, chunk); invocation (r, j) makes column j of every eighth group of four rows
//   uses step, delta_rows, delta_gates, delta_decays
const ROW_LANES = 8u;

@group(0) @binding(4) var<storage, read_write> inner: array<f32>;
@group(0) @binding(6) var<storage, read> step: Step;

var<workgroup> A: array<f32, CHUNK * CHUNK>;

@compute @workgroup_size(CHUNK * ROW_LANES)
fn delta_chunk(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = group.y * CHUNK;
  let at = group.y * VALUE_HEADS + head;
  let j = lane % CHUNK;
  let r = lane / CHUNK;
  let rows = rowsFrom(first);
  if (r == 0u) {
    readGates(head, first + j, j);
  } else if (r == 1u) {
    normK[j] = inverseNorm(rowOf(first + j) + keyAt(head));
  } else if (r == 2u) {
    normQ[j] = inverseNorm(rowOf(first + j) + queryAt(head)) * SCALE;
  }
  workgroupBarrier();
  if (r == 0u) {
    decaysSince(j, rows);
  } else if (r == 1u) {
    writeFactors(at, j, rows);
  }
  workgroupBarrier();
  if (4u * r < rows) { products(head, first, at, 4u * r, j); }
  workgroupBarrier();
  if (r == 0u) { invert(at, j, rows); }
}

fn inverseNorm(row: u32) -> f32 {
  var squares = 0.0;
  for (var n = 0u; n < keyQuads(); n++) { squares += dot(qkv[row + n], qkv[row + n]); }
  return inverseSqrt(squares + 1e-6);
}

fn products(head: u32, first: u32, at: u32, i: u32, j: u32) {
  let mine = rowOf(first + j) + keyAt(head);
  let rows = vec4u(rowOf(first + i), rowOf(first + i + 1u), rowOf(first + i + 2u), rowOf(first + i + 3u));
  var kk = vec4f(0.0);
  var qk = vec4f(0.0);
  for (var n = 0u; n < keyQuads(); n++) {
    kk += timesFour(rows + keyAt(head) + n, qkv[mine + n]);
    qk += timesFour(rows + queryAt(head) + n, qkv[mine + n]);
  }
  note(at, i, j, kk.x, qk.x);
  note(at, i + 1u, j, kk.y, qk.y);
  note(at, i + 2u, j, kk.z, qk.z);
  note(at, i + 3u, j, kk.w, qk.w);
}

fn timesFour(rows: vec4u, k: vec4f) -> vec4f {
  return vec4f(dot(qkv[rows.x], k), dot(qkv[rows.y], k), dot(qkv[rows.z], k), dot(qkv[rows.w], k));
}

fn note(at: u32, i: u32, j: u32, kk: f32, qk: f32) {
  let decay = D[i * CHUNK + j] * normK[j];
  A[i * CHUNK + j] = select(0.0, beta[i] * normK[i] * kk * decay, i > j);
  inner[(at * 64u + 32u + i) * CHUNK + j] = normQ[i] * qk * decay;
}

// Column j of M, row after row: M_ij = −Σ_(n<i) A_in M_nj below the diagonal. It takes the place of D.
fn invert(at: u32, j: u32, rows: u32) {
  for (var i = 0u; i < rows; i++) {
    var sum = 0.0;
    for (var n = 0u; n < i; n++) { sum += A[i * CHUNK + n] * D[n * CHUNK + j]; }
    let m = select(-sum, 1.0, i == j);
    D[i * CHUNK + j] = m;
    inner[(at * 64u + i) * CHUNK + j] = m * beta[j];
  }
}
