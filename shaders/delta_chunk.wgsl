// delta_chunk: what a chunk of 32 tokens needs that does not depend on the state, for all chunks and heads at once.
// With normed rows kn, qn, and D of delta_decays:
//   A = strict lower(beta_i (kn_i·kn_j) D_ij);  M = (I + A)⁻¹ by forward substitution;  P = lower((qn_i·kn_j) D_ij)
//   qkv: [T, C] after the convolution    u: [T, U_WIDTH] = qkv | z | b | a
//   inner: [chunks, Nv, 64, 32] = M·diag(beta), then P
//   factors: [chunks, Nv, 32, 4] = e^(g_0+…+g_i) / |k_i|,  the same · SCALE / |q_i|,  e^(g_(i+1)+…+g_31) / |k_i|,  and
//     e^(g_0+…+g_31): the decays from the chunk's start to i, from i to its end, and over all of it
//   one workgroup per (head, chunk); invocation (r, c) makes rows 4r … 4r + 3 and columns 4c … 4c + 3 of both products
//   uses step, delta_rows, delta_gates, delta_decays, delta_invert
const FOURS = CHUNK / 4u;

@group(0) @binding(4) var<storage, read_write> inner: array<f32>;
@group(0) @binding(6) var<storage, read> step: Step;

// Four rows of four columns.
struct Square {
  a: vec4f,
  b: vec4f,
  c: vec4f,
  d: vec4f,
}

@compute @workgroup_size(FOURS * FOURS)
fn delta_chunk(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = group.y * CHUNK;
  let at = group.y * VALUE_HEADS + head;
  let rows = rowsFrom(first);
  let j = lane % CHUNK;
  if (lane < CHUNK) {
    readGates(head, first + j, j);
    normK[j] = inverseNorm(rowOf(first + j) + keyAt(head));
  } else {
    normQ[j] = inverseNorm(rowOf(first + j) + queryAt(head)) * SCALE;
  }
  workgroupBarrier();
  if (lane < CHUNK) {
    decaysSince(j, rows);
  } else {
    writeFactors(at, j, rows);
  }
  workgroupBarrier();
  let r = lane / FOURS;
  let c = lane % FOURS;
  if (c <= r && 4u * r < rows) { products(head, first, at, 4u * r, 4u * c); } // those above are never asked for
  workgroupBarrier();
  if (lane < CHUNK) {
    invertColumn(j, rows);
    for (var i = 0u; i < rows; i++) { inner[(at * 64u + i) * CHUNK + j] = D[i * CHUNK + j] * beta[j]; }
  }
}

fn inverseNorm(row: u32) -> f32 {
  var squares = 0.0;
  for (var n = 0u; n < keyQuads(); n++) { squares += dot(qkv[row + n], qkv[row + n]); }
  return inverseSqrt(squares + 1e-6);
}

fn fourRows(first: u32) -> vec4u {
  return vec4u(rowOf(first), rowOf(first + 1u), rowOf(first + 2u), rowOf(first + 3u));
}

fn products(head: u32, first: u32, at: u32, i: u32, j: u32) {
  let rows = fourRows(first + i);
  let columns = fourRows(first + j) + keyAt(head);
  var kk = Square();
  var qk = Square();
  for (var n = 0u; n < keyQuads(); n++) {
    let k = Square(qkv[columns.x + n], qkv[columns.y + n], qkv[columns.z + n], qkv[columns.w + n]);
    kk = addProducts(kk, rows + keyAt(head) + n, k);
    qk = addProducts(qk, rows + queryAt(head) + n, k);
  }
  note(at, i, j, kk.a, qk.a);
  note(at, i, j + 1u, kk.b, qk.b);
  note(at, i, j + 2u, kk.c, qk.c);
  note(at, i, j + 3u, kk.d, qk.d);
}

// sums + the four rows at `rows` in qkv times each of the four k, a column of results for each
fn addProducts(sums: Square, rows: vec4u, k: Square) -> Square {
  let x = mat4x4f(qkv[rows.x], qkv[rows.y], qkv[rows.z], qkv[rows.w]);
  return Square(sums.a + k.a * x, sums.b + k.b * x, sums.c + k.c * x, sums.d + k.d * x);
}

// Four rows of column j.
fn note(at: u32, i: u32, j: u32, kk: vec4f, qk: vec4f) {
  let row = vec4u(i, i + 1u, i + 2u, i + 3u);
  let decay = normK[j] * vec4f(D[i * CHUNK + j], D[(i + 1u) * CHUNK + j], D[(i + 2u) * CHUNK + j], D[(i + 3u) * CHUNK + j]);
  let writes = vec4f(beta[i] * normK[i], beta[i + 1u] * normK[i + 1u], beta[i + 2u] * normK[i + 2u], beta[i + 3u] * normK[i + 3u]);
  A[i / 4u * CHUNK + j] = select(vec4f(0.0), writes * kk * decay, row > vec4u(j));
  let p = vec4f(normQ[i], normQ[i + 1u], normQ[i + 2u], normQ[i + 3u]) * qk * decay;
  for (var n = 0u; n < 4u; n++) { inner[(at * 64u + 32u + i + n) * CHUNK + j] = p[n]; }
}
