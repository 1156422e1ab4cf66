// matvec_tiles: y[t,n] = epilogue(Σk input[t,k] · W[n,k])   for one token, or one of each of several sequences, on an
// adapter that keeps W in tiles
//   input: x [T, K] f32, or its norm (inputs/*)    W: rows FIRST … FIRST + ROWS of [N, K]
//   y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup of eight lanes per LOT rows and COLUMNS tokens
// As in matvec_lanes a lane keeps what it needs of x while rows go by, and every sum is made in the same order however many
// tokens there are. Rows go by in eights. Of floats each lane has its span of all eight, and sums over the lanes are made so
// that each lane ends with one; of blocks each lane has one of the rows, whose factors it then needs as they lie there, and
// nothing goes from lane to lane. Uses step, reduce/subgroup, inputs/piece, columns/*, rows/*, spans/*, octets/*, chunks/*,
// weights/*, reads/tiles, inputs/* and epilogue/*
enable subgroups;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LOT: u32;     // a multiple of 32
override COLUMNS: u32; // 1, 2 or 4
const LANES = 8u;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

var<workgroup> sums: array<f32, COLUMNS * LOT>;
var<workgroup> scales: array<f32, COLUMNS>;

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
      add_eight(8u * eight, first, chunk, lane, x);
    }
  }
  keep(lane);
  workgroupBarrier(); // a lane stores what four have summed
  let count = select(min(COLUMNS, step.tokens - t0), 1u, COLUMNS == 1u);
  for (var i = 0u; i < count; i++) {
    for (var row = 4u * lane; row < rows; row += 4u * LANES) {
      let at = i * LOT + row;
      store4(t0 + i, first + row, vec4f(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]) * scales[i]);
    }
  }
}
