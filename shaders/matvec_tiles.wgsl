// matvec_tiles: y[t,n] = epilogue(Σk input[t,k] · W[n,k])   for one token, or one of each of several sequences, on an
// adapter that keeps W in tiles
//   input: x [T, K] f32, or its norm (inputs/*)    W: rows FIRST … FIRST + ROWS of [N, K]
//   y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup of eight lanes per LOT rows and COLUMNS tokens
// As in matvec_lanes a lane keeps its span of x in registers while rows go by, and every sum is made in the same order
// however many tokens there are. Rows go by in eights, which share the reading of their scales and are summed over the
// lanes together: each lane ends with one of eight sums. Uses step, reduce/subgroup, inputs/piece, rows/*, spans/*,
// octets/*, weights/*, reads/tiles, inputs/* and epilogue/*
enable subgroups;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LOT: u32;     // a multiple of 32
override COLUMNS: u32; // 1, 2, 4 or 8
const LANES = 8u;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// Every token's span of one lane.
struct Columns {
  a: Held,
  b: Held,
  c: Held,
  d: Held,
  e: Held,
  f: Held,
  g: Held,
  h: Held,
}

// For one copy of the code that makes a span; a lane reads what it wrote itself.
var<workgroup> spans: array<Held, COLUMNS * LANES>;

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  var x = Columns();
  if (COLUMNS == 1u) {
    x.a = held(t0, chunk, lane);
    return x;
  }
  for (var i = 0u; i < opaque(COLUMNS); i++) {
    spans[i * LANES + lane] = held(min(t0 + i, last), chunk, lane);
  }
  x.a = spans[lane];
  x.b = spans[min(1u, COLUMNS - 1u) * LANES + lane];
  if (COLUMNS > 2u) {
    x.c = spans[min(2u, COLUMNS - 1u) * LANES + lane];
    x.d = spans[min(3u, COLUMNS - 1u) * LANES + lane];
  }
  if (COLUMNS > 4u) {
    x.e = spans[min(4u, COLUMNS - 1u) * LANES + lane];
    x.f = spans[min(5u, COLUMNS - 1u) * LANES + lane];
    x.g = spans[min(6u, COLUMNS - 1u) * LANES + lane];
    x.h = spans[min(7u, COLUMNS - 1u) * LANES + lane];
  }
  return x;
}

// A lane's part of the products of row j of eight with every token.
fn products(row: u32, chunk: u32, lane: u32, all: Octet, j: u32, x: Columns) -> Eight {
  let w = span_of(row + j, chunk, lane);
  var each = Eight();
  each.lo.x = product(w, all, j, x.a);
  if (COLUMNS > 1u) {
    each.lo.y = product(w, all, j, x.b);
  }
  if (COLUMNS > 2u) {
    each.lo.z = product(w, all, j, x.c);
    each.lo.w = product(w, all, j, x.d);
  }
  if (COLUMNS > 4u) {
    each.hi.x = product(w, all, j, x.e);
    each.hi.y = product(w, all, j, x.f);
    each.hi.z = product(w, all, j, x.g);
    each.hi.w = product(w, all, j, x.h);
  }
  return each;
}

// Half of the sum over two lanes of two values: a's in lanes whose bit is not set, b's in those where it is.
fn folded(a: f32, b: f32, lane: u32, bit: u32) -> f32 {
  let upper = (lane & bit) != 0u;
  return select(a, b, upper) + subgroupShuffleXor(select(b, a, upper), bit);
}

// In lane i: the sum of value i over the lanes.
fn total8(a: f32, b: f32, c: f32, d: f32, e: f32, f: f32, g: f32, h: f32, lane: u32) -> f32 {
  let low = folded(folded(a, b, lane, 1u), folded(c, d, lane, 1u), lane, 2u);
  let high = folded(folded(e, f, lane, 1u), folded(g, h, lane, 1u), lane, 2u);
  return folded(low, high, lane, 4u);
}

var<workgroup> sums: array<f32, COLUMNS * LOT>;
var<workgroup> scales: array<f32, COLUMNS>;

// Adds the chunk's part to the sums of eight of the workgroup's rows, from row `row` of it on.
fn add_eight(row: u32, chunk: u32, lane: u32, base: u32, x: Columns) {
  let all = octet(base + row, chunk, lane);
  let a = products(base + row, chunk, lane, all, 0u, x);
  let b = products(base + row, chunk, lane, all, 1u, x);
  let c = products(base + row, chunk, lane, all, 2u, x);
  let d = products(base + row, chunk, lane, all, 3u, x);
  let e = products(base + row, chunk, lane, all, 4u, x);
  let f = products(base + row, chunk, lane, all, 5u, x);
  let g = products(base + row, chunk, lane, all, 6u, x);
  let h = products(base + row, chunk, lane, all, 7u, x);
  let at = row + lane;
  sums[at] += total8(a.lo.x, b.lo.x, c.lo.x, d.lo.x, e.lo.x, f.lo.x, g.lo.x, h.lo.x, lane);
  if (COLUMNS > 1u) {
    let s = total8(a.lo.y, b.lo.y, c.lo.y, d.lo.y, e.lo.y, f.lo.y, g.lo.y, h.lo.y, lane);
    sums[min(1u, COLUMNS - 1u) * LOT + at] += s;
  }
  if (COLUMNS > 2u) {
    let s = total8(a.lo.z, b.lo.z, c.lo.z, d.lo.z, e.lo.z, f.lo.z, g.lo.z, h.lo.z, lane);
    let u = total8(a.lo.w, b.lo.w, c.lo.w, d.lo.w, e.lo.w, f.lo.w, g.lo.w, h.lo.w, lane);
    sums[min(2u, COLUMNS - 1u) * LOT + at] += s;
    sums[min(3u, COLUMNS - 1u) * LOT + at] += u;
  }
  if (COLUMNS > 4u) {
    let s = total8(a.hi.x, b.hi.x, c.hi.x, d.hi.x, e.hi.x, f.hi.x, g.hi.x, h.hi.x, lane);
    let u = total8(a.hi.y, b.hi.y, c.hi.y, d.hi.y, e.hi.y, f.hi.y, g.hi.y, h.hi.y, lane);
    let v = total8(a.hi.z, b.hi.z, c.hi.z, d.hi.z, e.hi.z, f.hi.z, g.hi.z, h.hi.z, lane);
    let w = total8(a.hi.w, b.hi.w, c.hi.w, d.hi.w, e.hi.w, f.hi.w, g.hi.w, h.hi.w, lane);
    sums[min(4u, COLUMNS - 1u) * LOT + at] += s;
    sums[min(5u, COLUMNS - 1u) * LOT + at] += u;
    sums[min(6u, COLUMNS - 1u) * LOT + at] += v;
    sums[min(7u, COLUMNS - 1u) * LOT + at] += w;
  }
}

@compute @workgroup_size(LANES)
fn matvec_tiles(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = LOT * (group.y * groups.x + group.x);
  let rows = min(LOT, ROWS - min(ROWS, first));
  let eights = opaque((rows + 7u) / 8u);
  let t0 = COLUMNS * group.z;
  let last = select(step.tokens - 1u, 0u, COLUMNS == 1u); // tokens past the end read the last one and are not stored
  for (var i = 0u; i < opaque(COLUMNS); i++) {
    scales[i] = prepare(min(t0 + i, last), lane);
    for (var eight = 0u; eight < eights; eight++) {
      sums[i * LOT + 8u * eight + lane] = 0.0;
    }
  }
  let chunks = opaque((K + 32u * LANES - 1u) / (32u * LANES));
  for (var chunk = 0u; chunk < chunks; chunk++) {
    let x = columns(t0, last, chunk, lane);
    for (var eight = 0u; eight < eights; eight++) {
      add_eight(8u * eight, chunk, lane, first, x);
    }
  }
  workgroupBarrier(); // a lane stores what four have summed
  let count = select(min(COLUMNS, step.tokens - t0), 1u, COLUMNS == 1u);
  for (var i = 0u; i < count; i++) {
    for (var row = 4u * lane; row < rows; row += 4u * LANES) {
      let at = i * LOT + row;
      store4(t0 + i, first + row, vec4f(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]) * scales[i]);
    }
  }
}
