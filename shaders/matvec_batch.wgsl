// matvec_batch: y[t,n] = epilogue(Σk input[t,k] · W[n,k])   for one token of each of several sequences
//   input: x [T, K] f32, or its norm (inputs/*_rows)    W: rows FIRST … FIRST + ROWS of [N, K]
//   y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup per QUADS times 4 rows and COLUMNS tokens: a piece of W is read once for all of them
// Every sum is made in matvec's own order, piece by piece and lane by lane, however many tokens there are: a sequence's
// numbers must not depend on who runs beside it. Uses step, reduce/*, rows/*, weights/*, inputs/*_rows and epilogue/*
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override QUADS: u32;
override COLUMNS: u32; // 2, 4 or 8

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// The pieces of W of four rows.
struct Rows {
  a: Eight,
  b: Eight,
  c: Eight,
  d: Eight,
}

// Of a row; in a form which the compiler does not know, or it would unroll the loops: that takes it several times as long.
fn pieces() -> u32 {
  return select((K + 7u) / 8u, 0u, step.tokens == 0u);
}

fn added(sums: vec4f, w: Rows, values: Eight) -> vec4f {
  return vec4f(
    dot8(sums.x, w.a, values),
    dot8(sums.y, w.b, values),
    dot8(sums.z, w.c, values),
    dot8(sums.w, w.d, values),
  );
}

@compute @workgroup_size(LANES)
fn matvec_batch(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = 4u * QUADS * (group.y * groups.x + group.x);
  let end = min(first + 4u * QUADS, ROWS);
  let last = ROWS - 1u; // rows and tokens past the end read the last one and are not stored
  let t = COLUMNS * group.z;
  let near = min(vec4u(t, t + 1u, t + 2u, t + 3u), vec4u(step.tokens - 1u));
  let far = min(vec4u(t + 4u, t + 5u, t + 6u, t + 7u), vec4u(step.tokens - 1u));
  let count = min(COLUMNS, step.tokens - t);
  var nearScale = vec4f();
  var farScale = vec4f();
  for (var i = 0u; i < count; i++) {
    let scale = vec4f(prepare(t + i, lane));
    nearScale = select(nearScale, scale, vec4u(i) == vec4u(0u, 1u, 2u, 3u));
    farScale = select(farScale, scale, vec4u(i) == vec4u(4u, 5u, 6u, 7u));
  }
  for (var row = first; row < end; row += 4u) {
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    var s4 = vec4f();
    var s5 = vec4f();
    var s6 = vec4f();
    var s7 = vec4f();
    for (var piece = lane; piece < pieces(); piece += LANES) {
      let gains = gainOf(piece);
      let w = Rows(
        weight8(min(row, last), piece),
        weight8(min(row + 1u, last), piece),
        weight8(min(row + 2u, last), piece),
        weight8(min(row + 3u, last), piece),
      );
      s0 = added(s0, w, input8(near.x, piece, gains));
      s1 = added(s1, w, input8(near.y, piece, gains));
      if (COLUMNS > 2u) {
        s2 = added(s2, w, input8(near.z, piece, gains));
        s3 = added(s3, w, input8(near.w, piece, gains));
      }
      if (COLUMNS > 4u) {
        s4 = added(s4, w, input8(far.x, piece, gains));
        s5 = added(s5, w, input8(far.y, piece, gains));
        s6 = added(s6, w, input8(far.z, piece, gains));
        s7 = added(s7, w, input8(far.w, piece, gains));
      }
    }
    s0 = sum4(s0, lane) * nearScale.x;
    s1 = sum4(s1, lane) * nearScale.y;
    if (COLUMNS > 2u) {
      s2 = sum4(s2, lane) * nearScale.z;
      s3 = sum4(s3, lane) * nearScale.w;
    }
    if (COLUMNS > 4u) {
      s4 = sum4(s4, lane) * farScale.x;
      s5 = sum4(s5, lane) * farScale.y;
      s6 = sum4(s6, lane) * farScale.z;
      s7 = sum4(s7, lane) * farScale.w;
    }
    // Every lane has every sum, so each stores other tokens', with one copy of the epilogue.
    for (var i = lane; i < count; i += LANES) {
      let low = select(select(s0, s1, i % 4u == 1u), select(s2, s3, i % 4u == 3u), i % 4u > 1u);
      let high = select(select(s4, s5, i % 4u == 1u), select(s6, s7, i % 4u == 3u), i % 4u > 1u);
      store4(t + i, row, select(low, high, i > 3u));
    }
  }
}
