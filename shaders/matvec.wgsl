// matvec: y[t,n] = epilogue(scale[t] · Σk input[t,k] · W[n,k])   for one token, or one of each of several sequences, on a
// card, where reading W is all the time it takes
//   input, scale: x [T, K] f32 and 1, or those of a norm (inputs/*); or x in bytes (units/blocks)
//   W: rows FIRST … FIRST + ROWS of [N, K]    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup per QUADS times 4 rows and COLUMNS tokens: a unit of x is read once for four of W, those once for all
//   tokens, and neighbouring lanes read neighbouring units
// Every sum is made in the same order, unit by unit and lane by lane, however many tokens there are: a sequence's
// numbers must not depend on who runs beside it. Uses step, reduce/lots_*, rows/*, weights/*, units/* and epilogue/*
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override QUADS: u32;
override COLUMNS: u32; // 1, 2, 4 or 8
override LOTS = COLUMNS + select(0u, (COLUMNS + 3u) / 4u, NORMED); // of four sums: a token's, and behind them its squares'

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// Units of W of four rows.
struct Rows {
  a: Unit,
  b: Unit,
  c: Unit,
  d: Unit,
}

// Of one token, of what this lane has read.
struct Running {
  sums: vec4f,
  squares: f32,
}

// Of a row; in a form which the compiler does not know, or it would unroll the loops: that takes it several times as long.
fn turns() -> u32 {
  return select(units(), 0u, step.tokens == 0u);
}

@compute @workgroup_size(LANES)
fn matvec(
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
  let most = turns(); // read once: compilers do not know that nobody writes it meanwhile
  for (var row = first; row < end; row += 4u) {
    var r0 = Running();
    var r1 = r0;
    var r2 = r0;
    var r3 = r0;
    var r4 = r0;
    var r5 = r0;
    var r6 = r0;
    var r7 = r0;
    for (var i = lane; i < most; i += LANES) {
      let gains = gainsOf(i);
      let w = Rows(
        unitOf(min(row, last), i),
        unitOf(min(row + 1u, last), i),
        unitOf(min(row + 2u, last), i),
        unitOf(min(row + 3u, last), i),
      );
      r0 = added(r0, w, gains, near.x, i);
      if (COLUMNS > 1u) {
        r1 = added(r1, w, gains, near.y, i);
      }
      if (COLUMNS > 2u) {
        r2 = added(r2, w, gains, near.z, i);
        r3 = added(r3, w, gains, near.w, i);
      }
      if (COLUMNS > 4u) {
        r4 = added(r4, w, gains, far.x, i);
        r5 = added(r5, w, gains, far.y, i);
        r6 = added(r6, w, gains, far.z, i);
        r7 = added(r7, w, gains, far.w, i);
      }
    }
    if (row > first) {
      workgroupBarrier(); // the sums before may still be read
    }
    putSum(0u, lane, r0.sums);
    if (COLUMNS > 1u) {
      putSum(1u, lane, r1.sums);
    }
    if (COLUMNS > 2u) {
      putSum(2u, lane, r2.sums);
      putSum(3u, lane, r3.sums);
    }
    if (COLUMNS > 4u) {
      putSum(4u, lane, r4.sums);
      putSum(5u, lane, r5.sums);
      putSum(6u, lane, r6.sums);
      putSum(7u, lane, r7.sums);
    }
    if (NORMED) {
      putSum(COLUMNS, lane, vec4f(r0.squares, r1.squares, r2.squares, r3.squares));
      if (COLUMNS > 4u) {
        putSum(COLUMNS + 1u, lane, vec4f(r4.squares, r5.squares, r6.squares, r7.squares));
      }
    }
    gatherSums(lane);
    for (var i = lane; i < count; i += LANES) {
      var scale = 1.0;
      if (NORMED) {
        scale = scaleOf(sumOf(COLUMNS + i / 4u)[i % 4u]);
      }
      store4(t + i, row, sumOf(i) * scale);
    }
  }
}
