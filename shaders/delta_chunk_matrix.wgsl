// delta_chunk_matrix: delta_chunk on a device that multiplies matrices; formula there
//   The normed rows are rounded to f16 once, here, and these very keys serve in all products, also those with the state:
//   what comes out is the rule of slightly other keys, whose state is as stable, not a rule of keys that are written as
//   one vector and recalled as another. A, its inverse and all sums are f32.
//   qkv, u: as for delta_chunk    inner: [chunks, Nv, 32, 32] = M·diag(beta)
//   halves: f16, two to a word: per chunk and key head kn [32, Dk], then qn [32, Dk]; behind those of a chunk, per value
//     head, P [32, 32], unscaled
//   factors: [chunks, Nv, 32, 4] as for delta_chunk, but without the norms
//   one workgroup of four subgroups per (head, chunk): the products are 64 rows × 32 columns, a subgroup makes 16 rows of
//   them, Dk in steps of 16
//   uses step, delta_rows, delta_gates, delta_decays, delta_invert, delta_halves, halves/*, matrix/*
override WIDTH: u32; // lanes of a subgroup
override WG: u32 = 4u * WIDTH;

const DEPTH = 16u;
const STRIDE = DEPTH + 8u; // so that rows begin in different banks
const STRIP = 16u;         // rows of a subgroup; it keeps as many columns of results at a time
const PLACES = STRIP * STRIP;
const MATRIX = ROWS_EACH * COLUMNS_EACH;
const DOWN = STRIP / ROWS_EACH;
const ACROSS = CHUNK / COLUMNS_EACH;

@group(0) @binding(4) var<storage, read_write> inner: array<f32>;
@group(0) @binding(6) var<storage, read> step: Step;
@group(0) @binding(7) var<storage, read_write> packed: array<u32>;

var<workgroup> norms: array<f32, 2u * CHUNK>;                 // 1 / |k_i|, 1 / |q_i|
var<workgroup> operands: array<Half, 2u * CHUNK * STRIDE>;    // 16 columns of kn, of qn
var<workgroup> results: array<f32, 4u * PLACES>;              // 16 × 16 of each subgroup, matrix by matrix

@compute @workgroup_size(WG)
fn delta_chunk_matrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = group.y * CHUNK;
  let at = group.y * VALUE_HEADS + head;
  let rows = select(CHUNK, 0u, step.tokens == 0u); // which the compiler does not know
  for (var i = lane; i < 2u * CHUNK; i += WG) { norms[i] = inverseNorm(rowAt(head, first, i)); }
  for (var j = lane; j < CHUNK; j += WG) {
    readGates(head, first + j, j);
    normK[j] = 1.0;
    normQ[j] = SCALE;
  }
  workgroupBarrier();
  for (var j = lane; j < CHUNK; j += WG) { decaysSince(j, rows); }
  for (var j = WG - 1u - lane; j < CHUNK; j += WG) { writeFactors(at, j, rows); }
  multiply(head, group.y, lane);
  workgroupBarrier();
  for (var j = lane; j < CHUNK; j += WG) {
    invertColumn(j, rows);
    for (var i = 0u; i < rows; i++) { inner[(at * CHUNK + i) * CHUNK + j] = D[i * CHUNK + j] * beta[j]; }
  }
}

// Row i of k over q, in qkv.
fn rowAt(head: u32, first: u32, i: u32) -> u32 {
  return rowOf(first + i % CHUNK) + select(queryAt(head), keyAt(head), i < CHUNK);
}

fn inverseNorm(row: u32) -> f32 {
  var squares = 0.0;
  for (var n = 0u; n < keyQuads(); n++) { squares += dot(qkv[row + n], qkv[row + n]); }
  return inverseSqrt(squares + 1e-6);
}

// kn over qn, times knᵀ, and what becomes of it.
fn multiply(head: u32, chunk: u32, lane: u32) {
  let part = lane / WIDTH;
  var sums: array<Sums, DOWN * ACROSS>;
  for (var m = 0u; m < count(DOWN * ACROSS); m++) { sums[m] = noSums(m); }
  for (var k = 0u; k < DK; k += DEPTH) {
    workgroupBarrier(); // the previous step may still be read
    for (var i = lane; i < count(2u * CHUNK * DEPTH / 4u); i += WG) { stage(head, chunk, k / 4u, i); }
    workgroupBarrier();
    for (var d = 0u; d < count(DEPTH); d += DEPTH_EACH) {
      for (var b = 0u; b < count(ACROSS); b++) {
        let right = rightAt(b * COLUMNS_EACH * STRIDE + d);
        for (var a = 0u; a < count(DOWN); a++) {
          let left = leftAt((part * STRIP + a * ROWS_EACH) * STRIDE + d);
          sums[b * DOWN + a] = multiplied(left, right, sums[b * DOWN + a], lane);
        }
      }
    }
  }
  for (var half = 0u; half < count(2u); half++) {
    let first = half * DOWN * ACROSS / 2u;
    for (var m = 0u; m < count(DOWN * ACROSS / 2u); m++) { keepSums(sums[first + m], part * PLACES + m * MATRIX, lane); }
    workgroupBarrier();
    for (var i = lane % WIDTH; i < count(PLACES / 8u); i += WIDTH) { note(head, chunk, part, half, i); }
    workgroupBarrier(); // before others take their place
  }
}

// Four columns of a row, rounded; the first value head of a key head also stores them.
fn stage(head: u32, chunk: u32, k4: u32, i: u32) {
  let row = i / (DEPTH / 4u);
  let piece = i % (DEPTH / 4u);
  let x = qkv[rowAt(head, chunk * CHUNK, row) + k4 + piece] * norms[row];
  let to = row * STRIDE + 4u * piece;
  for (var n = 0u; n < 4u; n++) { operands[to + n] = halfOf(x[n]); }
  let keyHead = queryAt(head) / KEY_QUADS;
  if (head != keyHead * RUN) { return; }
  let word = (keysAt(chunk, keyHead) + row * DK) / 2u + 2u * (k4 + piece);
  packed[word] = packedHalves(x.x, x.y);
  packed[word + 1u] = packedHalves(x.z, x.w);
}

// Four rows of two columns of what is kept: of kn·knᵀ they become A, of qn·knᵀ P.
fn note(head: u32, chunk: u32, part: u32, half: u32, i: u32) {
  let pairs = COLUMNS_EACH / 2u;
  let line = i / pairs * 4u; // the first row, of all matrices one under the other, down each of their columns
  let row = part * STRIP + line % STRIP;
  let j = half * STRIP + line / STRIP * COLUMNS_EACH + i % pairs * 2u;
  let source = part * PLACES + line * COLUMNS_EACH + i % pairs * 2u;
  let four = row % CHUNK + vec4u(0u, 1u, 2u, 3u);
  let left = fourOf(source) * decays(four, j);
  let right = fourOf(source + 1u) * decays(four, j + 1u);
  if (row < CHUNK) {
    let writes = vec4f(beta[four.x], beta[four.y], beta[four.z], beta[four.w]);
    A[row / 4u * CHUNK + j] = select(vec4f(0.0), writes * left, four > vec4u(j));
    A[row / 4u * CHUNK + j + 1u] = select(vec4f(0.0), writes * right, four > vec4u(j + 1u));
    return;
  }
  let to = (innerAt(chunk, head) + four * CHUNK + j) / 2u;
  packed[to.x] = packedHalves(left.x, right.x);
  packed[to.y] = packedHalves(left.y, right.y);
  packed[to.z] = packedHalves(left.z, right.z);
  packed[to.w] = packedHalves(left.w, right.w);
}

fn fourOf(source: u32) -> vec4f {
  return vec4f(
    results[source], results[source + COLUMNS_EACH], results[source + 2u * COLUMNS_EACH], results[source + 3u * COLUMNS_EACH],
  );
}

fn decays(rows: vec4u, j: u32) -> vec4f {
  let at = rows * CHUNK + j;
  return vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
}
