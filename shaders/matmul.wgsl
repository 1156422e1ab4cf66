// matmul: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens, on a device with many cores
//   x: [T, K] f32    W: rows FIRST … FIRST + ROWS of [N, K]    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of 8 × 8 per tile of SIDE × SIDE results. 32 k at a time, both operands are decoded into workgroup
//   memory with k outermost; an invocation then takes QUADS × QUADS squares of 4 × 4 results, 32 apart, so that
//   neighbours read neighbouring memory. Uses tiles/*, rows/*, rows/within,
//   weights/* and epilogue/*
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override SPLITS: u32 = 1;     // workgroups that share a tile, each a part of its k
override SPLIT_ROWS: u32 = 0; // tokens of a split in y, where each has its own (epilogue/partial)

const SIDE = 32u * QUADS;
const DEPTH = 32u;
const STRIDE = SIDE / 4u; // in vec4f

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// x as [k][t / 4], behind it W as [k][n / 4]; at the end the results.
var<workgroup> tile: array<vec4f, 2u * DEPTH * STRIDE>;

// Four rows' piece, turned so that a vector holds one k of all four.
fn putTurned(at: u32, a: Eight, b: Eight, c: Eight, d: Eight) {
  tile[at] = vec4f(a.lo.x, b.lo.x, c.lo.x, d.lo.x);
  tile[at + STRIDE] = vec4f(a.lo.y, b.lo.y, c.lo.y, d.lo.y);
  tile[at + 2u * STRIDE] = vec4f(a.lo.z, b.lo.z, c.lo.z, d.lo.z);
  tile[at + 3u * STRIDE] = vec4f(a.lo.w, b.lo.w, c.lo.w, d.lo.w);
  tile[at + 4u * STRIDE] = vec4f(a.hi.x, b.hi.x, c.hi.x, d.hi.x);
  tile[at + 5u * STRIDE] = vec4f(a.hi.y, b.hi.y, c.hi.y, d.hi.y);
  tile[at + 6u * STRIDE] = vec4f(a.hi.z, b.hi.z, c.hi.z, d.hi.z);
  tile[at + 7u * STRIDE] = vec4f(a.hi.w, b.hi.w, c.hi.w, d.hi.w);
}

// Rows past the end read the last one and are not stored.
fn loadX(t: u32, piece: u32, at: u32) {
  let last = step.tokens - 1u;
  putTurned(
    at,
    within(x8(min(t, last), piece), piece),
    within(x8(min(t + 1u, last), piece), piece),
    within(x8(min(t + 2u, last), piece), piece),
    within(x8(min(t + 3u, last), piece), piece),
  );
}

fn loadW(row: u32, piece: u32, at: u32) {
  let last = ROWS - 1u;
  putTurned(
    DEPTH * STRIDE + at,
    within(weight8(min(row, last), piece), piece),
    within(weight8(min(row + 1u, last), piece), piece),
    within(weight8(min(row + 2u, last), piece), piece),
    within(weight8(min(row + 3u, last), piece), piece),
  );
}

@compute @workgroup_size(64)
fn matmul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) i: u32) {
  let row = group.x * SIDE;
  let t = group.y * SIDE;
  let column = i % 8u;
  let line = i / 8u;
  var sums: array<vec4f, 4u * QUADS * QUADS>; // [t][n / 4] of this invocation
  let steps = (K + DEPTH - 1u) / DEPTH;
  let end = DEPTH * ((group.z + 1u) * steps / SPLITS);
  for (var k = DEPTH * (group.z * steps / SPLITS); k < end; k += DEPTH) {
    workgroupBarrier(); // the previous step may still be read
    // SIDE / 4 quads of rows × DEPTH / 8 pieces of each operand: of 64 rows one of both for every invocation, of 32 one.
    let quad = i % SIDE / 4u;
    let piece = i % 4u;
    let at = 8u * piece * STRIDE + quad;
    if (SIDE == 64u || i < 32u) {
      loadX(t + 4u * quad, k / 8u + piece, at);
    }
    if (SIDE == 64u || i >= 32u) {
      loadW(row + 4u * quad, k / 8u + piece, at);
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      for (var a = 0u; a < QUADS; a++) {
        let xv = tile[d * STRIDE + 8u * a + line];
        for (var b = 0u; b < QUADS; b++) {
          let w = tile[(DEPTH + d) * STRIDE + 8u * b + column];
          let at = 4u * a * QUADS + b;
          sums[at] = fma(vec4f(xv.x), w, sums[at]);
          sums[at + QUADS] = fma(vec4f(xv.y), w, sums[at + QUADS]);
          sums[at + 2u * QUADS] = fma(vec4f(xv.z), w, sums[at + 2u * QUADS]);
          sums[at + 3u * QUADS] = fma(vec4f(xv.w), w, sums[at + 3u * QUADS]);
        }
      }
    }
  }
  // Through memory, as a loop over registers would be unrolled: sixteen epilogues compile for seconds.
  workgroupBarrier();
  for (var j = 0u; j < 4u * QUADS * QUADS; j++) {
    tile[64u * j + i] = sums[j];
  }
  for (var j = 0u; j < 4u * QUADS; j++) {
    let token = t + 32u * (j / 4u) + 4u * line + j % 4u;
    for (var b = 0u; b < QUADS && token < step.tokens; b++) {
      store4(group.z * SPLIT_ROWS + token, row + 32u * b + 4u * column, tile[64u * (j * QUADS + b) + i]);
    }
  }
}
