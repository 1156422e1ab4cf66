// reduce/lots_subgroups: LOTS sums over the lanes at once, each subgroup's by itself and theirs through workgroup memory.
//   every subgroup has WIDTH lanes, and LANES is a multiple of that. All lanes: putSum for every lot, gatherSums.
enable subgroups;

override WIDTH: u32;

var<workgroup> partial: array<vec4f, LOTS * LANES / WIDTH>;

fn putSum(lot: u32, lane: u32, value: vec4f) {
  let sum = subgroupAdd(value);
  if (lane % WIDTH == 0u) {
    partial[lot * (LANES / WIDTH) + lane / WIDTH] = sum;
  }
}

fn gatherSums(lane: u32) {
  workgroupBarrier();
}

fn sumOf(lot: u32) -> vec4f {
  let first = lot * (LANES / WIDTH);
  var sum = partial[first];
  for (var i = 1u; i < LANES / WIDTH; i++) {
    sum += partial[first + i];
  }
  return sum;
}
