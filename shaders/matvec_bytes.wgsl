// matvec_bytes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for one token in bytes, or one of each of several sequences, on a card
// that multiplies bytes: as matvec, but of blocks, whose codes become floats there, one by one, which takes a card with fast
// memory longer than reading them
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
//   W: rows FIRST … FIRST + ROWS of [N, K], in blocks of 32    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup per QUADS times 4 rows and COLUMNS tokens: a lane takes a block of four rows at a time, neighbouring lanes
//   neighbouring blocks. Products of a block are exact integers. As in matvec, a token's sums do not depend on the others.
// Uses step, reduce/lots_*, rows/planes, weights/* and epilogue/*
requires packed_4x8_integer_dot_product;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override QUADS: u32;
override COLUMNS: u32; // 1, 2, 4 or 8
override LOTS = COLUMNS;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

// The blocks of W of four rows.
struct Rows {
  a: Coded,
  b: Coded,
  c: Coded,
  d: Coded,
}

// A block of x.
struct Held {
  lo: vec4u,
  hi: vec4u,
  factor: vec2f,
}

// Of a row; in a form which the compiler does not know, or it would unroll the loops.
fn blocks() -> u32 {
  return select(K / 32u, 0u, step.tokens == 0u);
}

// One behind the other: devices add to what there is as they multiply.
fn dots4(sum: i32, x: vec4u, w: vec4u) -> i32 {
  return sum + dot4I8Packed(x.x, w.x) + dot4I8Packed(x.y, w.y) + dot4I8Packed(x.z, w.z) + dot4I8Packed(x.w, w.w);
}

// sum + what a block of a row adds to it; multiply-adds are named, so that they are the same for every token.
fn weighed(sum: f32, w: Coded, x: Held) -> f32 {
  let dots = f32(dots4(dots4(0, x.lo, w.lo), x.hi, w.hi));
  return fma(w.scale.x * x.factor.x, dots, fma(w.plus.x, x.factor.y, sum));
}

fn added(sums: vec4f, w: Rows, t: u32, block: u32) -> vec4f {
  let at = t * (K / 32u) + block;
  let x = Held(codes[2u * at], codes[2u * at + 1u], factors[at]);
  return vec4f(weighed(sums.x, w.a, x), weighed(sums.y, w.b, x), weighed(sums.z, w.c, x), weighed(sums.w, w.d, x));
}

@compute @workgroup_size(LANES)
fn matvec_bytes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = 4u * QUADS * (group.y * groups.x + group.x);
  let end = min(first + 4u * QUADS, ROWS);
  let last = ROWS - 1u; // rows and tokens past the end read the last one and are not stored
  let t = COLUMNS * group.z;
  let lastToken = select(step.tokens - 1u, 0u, COLUMNS == 1u);
  let near = min(vec4u(t, t + 1u, t + 2u, t + 3u), vec4u(lastToken));
  let far = min(vec4u(t + 4u, t + 5u, t + 6u, t + 7u), vec4u(lastToken));
  let count = min(COLUMNS, lastToken + 1u - t);
  let most = blocks(); // read once: compilers do not know that nobody writes it meanwhile
  for (var row = first; row < end; row += 4u) {
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    var s4 = vec4f();
    var s5 = vec4f();
    var s6 = vec4f();
    var s7 = vec4f();
    for (var block = lane; block < most; block += LANES) {
      let w = Rows(
        block32(min(row, last), block),
        block32(min(row + 1u, last), block),
        block32(min(row + 2u, last), block),
        block32(min(row + 3u, last), block),
      );
      s0 = added(s0, w, near.x, block);
      if (COLUMNS > 1u) {
        s1 = added(s1, w, near.y, block);
      }
      if (COLUMNS > 2u) {
        s2 = added(s2, w, near.z, block);
        s3 = added(s3, w, near.w, block);
      }
      if (COLUMNS > 4u) {
        s4 = added(s4, w, far.x, block);
        s5 = added(s5, w, far.y, block);
        s6 = added(s6, w, far.z, block);
        s7 = added(s7, w, far.w, block);
      }
    }
    if (row > first) {
      workgroupBarrier(); // the sums before may still be read
    }
    putSum(0u, lane, s0);
    if (COLUMNS > 1u) {
      putSum(1u, lane, s1);
    }
    if (COLUMNS > 2u) {
      putSum(2u, lane, s2);
      putSum(3u, lane, s3);
    }
    if (COLUMNS > 4u) {
      putSum(4u, lane, s4);
      putSum(5u, lane, s5);
      putSum(6u, lane, s6);
      putSum(7u, lane, s7);
    }
    gatherSums(lane);
    for (var i = lane; i < count; i += LANES) {
      store4(t + i, row, sumOf(i));
    }
  }
}
