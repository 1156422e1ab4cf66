// matmul_merge: y[t,n] = epilogue(Σs parts[s,t,n]), in the order of s
//   parts: [SPLITS, SPLIT_ROWS, ROWS] f32 (epilogue/partial)    y: [T, N] f32 (swiglu: [T, N / 2])
//   one invocation per four neighbouring results; uses epilogue/*
override N: u32;
override FIRST: u32;
override ROWS: u32;
override SPLITS: u32;
override SPLIT_ROWS: u32;

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn sumOf(t: u32, row: u32) -> f32 {
  let last = min(row, ROWS - 1u); // rows past the end are not stored
  var sum = 0.0;
  for (var s = 0u; s < SPLITS; s++) {
    sum += parts[(s * SPLIT_ROWS + t) * ROWS + last];
  }
  return sum;
}

@compute @workgroup_size(64)
fn matmul_merge(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = 4u * (64u * group.x + lane);
  let t = group.y;
  if (row < ROWS) {
    store4(t, row, vec4f(sumOf(t, row), sumOf(t, row + 1u), sumOf(t, row + 2u), sumOf(t, row + 3u)));
  }
}
