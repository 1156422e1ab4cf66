// matvec: y[0,n] = epilogue(Σk input[k] · W[n,k])   for one token, where reading W is all the time it takes
//   input: x [1, K] f32, or its norm (inputs/*)    W: rows FIRST … FIRST + ROWS of [N, K]
//   y: [1, N] f32 (swiglu: [1, N / 2])
//   one workgroup per QUADS times 4 rows, so a piece of x is read once for four pieces of W; neighbouring lanes read
//   neighbouring pieces; uses reduce/*, rows/*, weights/*, inputs/* and epilogue/*
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override QUADS: u32;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn matvec(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = 4u * QUADS * (group.y * groups.x + group.x);
  let end = min(first + 4u * QUADS, ROWS);
  let last = ROWS - 1u; // rows past the end read the last one and are not stored
  let scale = prepare(lane);
  for (var row = first; row < end; row += 4u) {
    var sums = vec4f();
    for (var piece = lane; piece < (K + 7u) / 8u; piece += LANES) {
      let values = input8(piece);
      sums.x = dot8(sums.x, weight8(min(row, last), piece), values);
      sums.y = dot8(sums.y, weight8(min(row + 1u, last), piece), values);
      sums.z = dot8(sums.z, weight8(min(row + 2u, last), piece), values);
      sums.w = dot8(sums.w, weight8(min(row + 3u, last), piece), values);
    }
    sums = sum4(sums, lane) * scale;
    if (lane == 0u) {
      store4(0u, row, sums);
    }
  }
}
