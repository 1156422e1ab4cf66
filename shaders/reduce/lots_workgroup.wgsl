// reduce/lots_workgroup: LOTS sums over the lanes at once through workgroup memory, in two strides: eight lanes gather
// each, then whoever wants a sum adds the eight.   LANES is a multiple of 8. All lanes: putSum for every lot, gatherSums.
var<workgroup> partial: array<vec4f, LOTS * LANES>;

fn putSum(lot: u32, lane: u32, value: vec4f) {
  partial[lot * LANES + lane] = value;
}

fn gatherSums(lane: u32) {
  workgroupBarrier();
  for (var j = lane; j < 8u * LOTS; j += LANES) {
    let first = j / 8u * LANES + j % 8u;
    var sum = partial[first];
    for (var i = 8u; i < LANES; i += 8u) {
      sum += partial[first + i];
    }
    partial[first] = sum;
  }
  workgroupBarrier();
}

fn sumOf(lot: u32) -> vec4f {
  let at = lot * LANES;
  let low = partial[at] + partial[at + 1u] + partial[at + 2u] + partial[at + 3u];
  return low + partial[at + 4u] + partial[at + 5u] + partial[at + 6u] + partial[at + 7u];
}
