// matvec_lanes: y[t,n] = epilogue(Σk input[t,k] · W[n,k])   for one token, or one of each of several sequences, on a
// software adapter
//   input: x [T, K] f32, or its norm (inputs/*)    W: rows FIRST … FIRST + ROWS of [N, K]
//   y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup per LOTS times 4·LANES rows and COLUMNS tokens
// What a processor pays for is loads (each lane's words one by one) and code that outgrows its cache. So a lane keeps
// its span of x in registers while rows go by, and a turn of the inner loop is one row's chunk and nothing else.
// Every sum is made in the same order however many tokens there are: a sequence's numbers must not depend on who runs
// beside it. Uses step, reduce/subgroup, inputs/piece, rows/*, spans/*, weights/*, reads/*, inputs/* and epilogue/*
enable subgroups;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32; // 4 to 64
override LOTS: u32;
override COLUMNS: u32; // 1, 2 or 4

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// The tokens' spans; a lane reads what it wrote itself. Through memory, for one copy of the code that makes them.
var<workgroup> spans: array<Held, max(COLUMNS, 2u) * LANES>;

// The sum of every lane's value, in every lane. (Where subgroupAdd is a walk over the lanes, this is a tenth of it.)
fn total(value: f32) -> f32 {
  var sum = value + subgroupShuffleXor(value, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  if (LANES > 4u) {
    sum += subgroupShuffleXor(sum, 4u);
  }
  if (LANES > 8u) {
    sum += subgroupShuffleXor(sum, 8u);
  }
  if (LANES > 16u) {
    sum += subgroupShuffleXor(sum, 16u);
  }
  if (LANES > 32u) {
    sum += subgroupShuffleXor(sum, 32u);
  }
  return sum;
}

@compute @workgroup_size(LANES)
fn matvec_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = 4u * LANES * LOTS * (group.y * groups.x + group.x);
  let end = min(first + 4u * LANES * LOTS, ROWS);
  let t0 = COLUMNS * group.z;
  let last = select(step.tokens - 1u, 0u, COLUMNS == 1u); // tokens past the end read the last one and are not stored
  var scales = vec4f();
  for (var i = 0u; i < opaque(COLUMNS); i++) {
    scales = select(scales, vec4f(prepare(min(t0 + i, last), lane)), vec4u(i) == vec4u(0u, 1u, 2u, 3u));
  }
  let mine = 4u * lane + vec4u(0u, 1u, 2u, 3u); // rows of a lot that this lane sums and stores
  for (var lot = first; lot < end; lot += 4u * LANES) {
    let rows = min(end - lot, 4u * LANES);
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var chunk = 0u; chunk < opaque((K + 32u * LANES - 1u) / (32u * LANES)); chunk++) {
      var x0 = Held();
      var x1 = x0;
      var x2 = x0;
      var x3 = x0;
      if (COLUMNS == 1u) {
        x0 = held(t0, chunk, lane);
      } else {
        for (var i = 0u; i < opaque(COLUMNS); i++) {
          spans[i * LANES + lane] = held(min(t0 + i, last), chunk, lane);
        }
        x0 = spans[lane];
        x1 = spans[LANES + lane];
        x2 = spans[min(2u, COLUMNS - 1u) * LANES + lane];
        x3 = spans[COLUMNS * LANES - LANES + lane];
      }
      for (var row = 0u; row < rows; row++) {
        let w = taken(lot + row, chunk, lane);
        let here = vec4u(row) == mine;
        s0 = select(s0, s0 + total(dot_span(w, x0)), here);
        if (COLUMNS > 1u) {
          s1 = select(s1, s1 + total(dot_span(w, x1)), here);
        }
        if (COLUMNS > 2u) {
          s2 = select(s2, s2 + total(dot_span(w, x2)), here);
          s3 = select(s3, s3 + total(dot_span(w, x3)), here);
        }
      }
    }
    // In a loop, for one copy of the epilogue.
    for (var i = 0u; i < select(min(COLUMNS, step.tokens - t0), 1u, COLUMNS == 1u); i++) {
      let low = select(s0 * scales.x, s1 * scales.y, i == 1u);
      let high = select(s2 * scales.z, s3 * scales.w, i == 3u);
      store4(t0 + i, lot + 4u * lane, select(low, high, i > 1u));
    }
  }
}
