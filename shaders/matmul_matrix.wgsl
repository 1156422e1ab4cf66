// matmul_matrix: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens, on a device that multiplies matrices
//   x: as halve_rows leaves it, with what leads back    W: rows FIRST … FIRST + ROWS of [N, K], and their scales, there and
//   back (row_scales)    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of SUBGROUPS per tile of SIDE × SIDE results, of which each subgroup has a part. DEPTH k at a time, both
//   operands are kept in workgroup memory in f16's range; products are exact and sums are f32. Scales are powers of two, so
//   what is lost is x's rounding to 11 bits, and W's where it has more. Uses step, tiles/matrices_*, matrix/*, rows/*,
//   weights/* and epilogue/*
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override WIDTH: u32; // lanes of a subgroup

const PIECES = DEPTH / 8u;
const STRIDE = DEPTH + 8u; // so that rows begin in different banks
const DOWN = PART_ROWS / ROWS_EACH;
const ACROSS = PART_COLUMNS / COLUMNS_EACH;
const BESIDE = SIDE / PART_COLUMNS; // parts
const MOST_LINES = SIDE * PIECES / (4u * SUBGROUPS); // that a lane copies, where a subgroup has 4
override LINES: u32 = SUBGROUPS * WIDTH / PIECES;    // that are copied at once

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read> xHalves: array<vec4u>;
@group(0) @binding(9) var<storage, read> xBack: array<f32>;
@group(0) @binding(10) var<storage, read> wScales: array<vec2f>;

// x as [t][k], behind it W as [n][k].
var<workgroup> operands: array<Half, 2u * SIDE * STRIDE>;
var<workgroup> results: array<f32, SUBGROUPS * ROWS_EACH * COLUMNS_EACH>; // a matrix of each subgroup, [t][n]

fn put8Halves(at: u32, value: Eight, scale: f32) {
  let lo = value.lo * scale;
  let hi = value.hi * scale;
  for (var i = 0u; i < 4u; i++) {
    operands[at + i] = halfOf(lo[i]);
    operands[at + 4u + i] = halfOf(hi[i]);
  }
}

// What takes four neighbouring results out of the scales of x and W.
fn back(token: u32, n: u32) -> vec4f {
  let last = ROWS - 1u;
  let w = vec4f(
    wScales[min(n, last)].y,
    wScales[min(n + 1u, last)].y,
    wScales[min(n + 2u, last)].y,
    wScales[min(n + 3u, last)].y,
  );
  return xBack[token] * w;
}

@compute @workgroup_size(SUBGROUPS * WIDTH)
fn matmul_matrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * SIDE;
  let t = group.y * SIDE;
  let part = lane / WIDTH;
  let down = part / BESIDE * PART_ROWS;
  let across = part % BESIDE * PART_COLUMNS;
  var sums: array<Sums, DOWN * ACROSS>;
  for (var i = 0u; i < count(DOWN * ACROSS); i++) {
    sums[i] = noSums(i);
  }
  // A lane copies a piece of so many rows of x and of W. Those past the end read the last one and are not stored.
  let lastToken = step.tokens - 1u;
  let rowPieces = (K + 31u) / 32u * 4u;
  var there: array<f32, MOST_LINES>;
  for (var j = 0u; j < count(SIDE / LINES); j++) {
    there[j] = wScales[min(row + LINES * j + lane / PIECES, ROWS - 1u)].x;
  }
  for (var k = 0u; k < K; k += DEPTH) {
    workgroupBarrier(); // the previous step may still be read
    let piece = lane % PIECES;
    for (var j = 0u; j < count(SIDE / LINES); j++) {
      let line = LINES * j + lane / PIECES;
      let token = min(t + line, lastToken);
      let n = min(row + line, ROWS - 1u);
      let w = within(weight8(n, k / 8u + piece), k / 8u + piece);
      putHalves(line * STRIDE + 8u * piece, xHalves[token * rowPieces + k / 8u + piece]);
      put8Halves((SIDE + line) * STRIDE + 8u * piece, w, there[j]);
    }
    workgroupBarrier();
    for (var d = 0u; d < count(DEPTH); d += DEPTH_EACH) {
      var left: array<Left, DOWN>;
      for (var a = 0u; a < count(DOWN); a++) {
        left[a] = leftAt((down + a * ROWS_EACH) * STRIDE + d);
      }
      for (var b = 0u; b < count(ACROSS); b++) {
        let right = rightAt((SIDE + across + b * COLUMNS_EACH) * STRIDE + d);
        for (var a = 0u; a < count(DOWN); a++) {
          sums[a * ACROSS + b] = multiplied(left[a], right, sums[a * ACROSS + b], lane);
        }
      }
    }
  }
  let own = part * ROWS_EACH * COLUMNS_EACH;
  for (var i = 0u; i < count(DOWN * ACROSS); i++) {
    workgroupBarrier(); // the matrix before may still be read
    keepSums(sums[i], own, lane);
    workgroupBarrier();
    let top = t + down + i / ACROSS * ROWS_EACH;
    let left = row + across + i % ACROSS * COLUMNS_EACH;
    for (var j = lane % WIDTH; j < count(ROWS_EACH * COLUMNS_EACH / 4u); j += WIDTH) {
      let token = top + 4u * j / COLUMNS_EACH;
      let n = left + 4u * j % COLUMNS_EACH;
      if (token < step.tokens) {
        let at = own + 4u * j;
        store4(token, n, vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]) * back(token, n));
      }
    }
  }
}
