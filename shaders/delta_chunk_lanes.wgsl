// delta_chunk_lanes: delta_chunk for a software adapter; formula and layouts there
//   one workgroup of exactly one subgroup (LANES wide) per (head, chunk); a lane makes every LANES-th column
//   uses step, delta_rows, delta_gates, delta_decays
// Where a load costs some 50 multiply-adds, each lane loads one row's piece and shuffles hand it to the others; the
// norms of rows are summed over the pieces that pass by.
enable subgroups;

override LANES: u32;
override SPAN: u32;   // min(LANES, 8), rows that one shuffled register serves

@group(0) @binding(4) var<storage, read_write> inner: array<f32>;
@group(0) @binding(6) var<storage, read> step: Step;

var<workgroup> A: array<f32, CHUNK * CHUNK>;

@compute @workgroup_size(LANES)
fn delta_chunk_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.x;
  let first = group.y * CHUNK;
  let at = group.y * VALUE_HEADS + head;
  let rows = rowsFrom(first);
  for (var j = lane; j < CHUNK; j += LANES) { readGates(head, first + j, j); }
  workgroupBarrier();
  for (var j = lane; j < CHUNK; j += LANES) {
    decaysSince(j, rows);
    for (var i = 0u; i < rows; i++) { A[i * CHUNK + j] = 0.0; }
  }
  workgroupBarrier();
  for (var left = 0u; left < rows; left += LANES) {
    for (var top = left; top < rows; top += SPAN) { products(head, first, at, top, left + lane, lane); }
  }
  workgroupBarrier();
  for (var j = lane; j < CHUNK; j += LANES) { writeFactors(at, j, rows); }
  for (var left = 0u; left < rows; left += LANES) { invert(at, left, left + lane, lane, rows); }
}

// Rows top … top + SPAN − 1 of column j; the blocks above the diagonal are never asked for.
fn products(head: u32, first: u32, at: u32, top: u32, j: u32, lane: u32) {
  let held = top + lane % SPAN;   // the row whose pieces this lane loads
  let row = rowOf(first + held);
  let mine = rowOf(first + j) + keyAt(head);
  var kk0 = vec4f();
  var kk1 = vec4f();
  var qk0 = vec4f();
  var qk1 = vec4f();
  var squares = vec3f();
  for (var n = 0u; n < keyQuads(); n++) {
    let k = qkv[mine + n];
    let key = qkv[row + keyAt(head) + n];
    let query = qkv[row + queryAt(head) + n];
    squares += vec3f(dot(k, k), dot(key, key), dot(query, query));
    kk0 += timesFour(key, 0u, k);
    qk0 += timesFour(query, 0u, k);
    if (SPAN == 8u) {
      kk1 += timesFour(key, 4u, k);
      qk1 += timesFour(query, 4u, k);
    }
  }
  let norms = inverseSqrt(squares + 1e-6);
  let scales = vec2f(norms.y * beta[held], norms.z * SCALE);
  normK[held] = norms.y;
  normQ[held] = scales.y;
  note4(at, top, j, norms.x * kk0, norms.x * qk0, scales, 0u);
  if (SPAN == 8u) { note4(at, top + 4u, j, norms.x * kk1, norms.x * qk1, scales, 4u); }
}

fn timesFour(rows: vec4f, first: u32, k: vec4f) -> vec4f {
  return vec4f(
    dot(subgroupShuffle(rows, first), k),
    dot(subgroupShuffle(rows, first + 1u), k),
    dot(subgroupShuffle(rows, first + 2u), k),
    dot(subgroupShuffle(rows, first + 3u), k),
  );
}

fn note4(at: u32, i: u32, j: u32, kk: vec4f, qk: vec4f, scales: vec2f, first: u32) {
  note(at, i, j, vec2f(kk.x, qk.x) * subgroupShuffle(scales, first));
  note(at, i + 1u, j, vec2f(kk.y, qk.y) * subgroupShuffle(scales, first + 1u));
  note(at, i + 2u, j, vec2f(kk.z, qk.z) * subgroupShuffle(scales, first + 2u));
  note(at, i + 3u, j, vec2f(kk.w, qk.w) * subgroupShuffle(scales, first + 3u));
}

fn note(at: u32, i: u32, j: u32, kq: vec2f) {
  let decay = D[i * CHUNK + j];
  A[i * CHUNK + j] = select(0.0, kq.x * decay, i > j);
  inner[(at * 64u + 32u + i) * CHUNK + j] = kq.y * decay;
}

// Column j of M, row after row: M_ij = −Σ_(n<i) A_in M_nj below the diagonal. It takes the place of D; rows of D
// that are not M yet are met by zeros of A.
fn invert(at: u32, left: u32, j: u32, lane: u32, rows: u32) {
  for (var i = left; i < rows; i++) {
    var sum = 0.0;
    for (var n = left; n < i; n += SPAN) {
      let a = A[i * CHUNK + n + lane % SPAN];
      let m = n * CHUNK + j;
      sum += subgroupShuffle(a, 0u) * D[m] + subgroupShuffle(a, 1u) * D[m + CHUNK]
        + subgroupShuffle(a, 2u) * D[m + 2u * CHUNK] + subgroupShuffle(a, 3u) * D[m + 3u * CHUNK];
      if (SPAN == 8u) {
        sum += subgroupShuffle(a, 4u) * D[m + 4u * CHUNK] + subgroupShuffle(a, 5u) * D[m + 5u * CHUNK]
          + subgroupShuffle(a, 6u) * D[m + 6u * CHUNK] + subgroupShuffle(a, 7u) * D[m + 7u * CHUNK];
      }
    }
    let m = select(-sum, 1.0, i == j);
    D[i * CHUNK + j] = m;
    inner[(at * 64u + i) * CHUNK + j] = m * beta[j];
  }
}
