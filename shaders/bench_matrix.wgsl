// bench_matrix: what a device's own matrices multiply, f16 in and f32 out: eight independent chains of ROUNDS products
//   a subgroup   y: [workgroups · 4 · WIDTH] f32    a workgroup of four subgroups; uses matrix/*
override ROUNDS: u32;
override WIDTH: u32; // lanes of a subgroup

const STRIDE = DEPTH_EACH;
const CHAINS = 8u;
const MATRIX = ROWS_EACH * COLUMNS_EACH;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

var<workgroup> operands: array<Half, 256>; // a matrix, which serves as both
var<workgroup> results: array<f32, 4u * MATRIX>;

@compute @workgroup_size(4u * WIDTH)
fn bench_matrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < 256u; i += 4u * WIDTH) {
    operands[i] = halfOf(f32((i + group.x) % 7u) * 0.01);
  }
  workgroupBarrier();
  let left = leftAt(0u);
  let right = rightAt(0u);
  var sums: array<Sums, CHAINS>;
  for (var i = 0u; i < count(CHAINS); i++) {
    sums[i] = noSums(i);
  }
  for (var round = 0u; round < ROUNDS; round++) {
    for (var i = 0u; i < count(CHAINS); i++) {
      sums[i] = multiplied(left, right, sums[i], lane);
    }
  }
  let own = lane / WIDTH * MATRIX;
  var sum = 0.0;
  for (var i = 0u; i < count(CHAINS); i++) {
    workgroupBarrier(); // the matrix before may still be read
    keepSums(sums[i], own, lane);
    workgroupBarrier();
    sum += results[own + lane % WIDTH];
  }
  y[group.x * 4u * WIDTH + lane] = sum;
}
