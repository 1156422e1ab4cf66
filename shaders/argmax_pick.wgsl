// argmax_pick: the index of the best of GROUPS candidates.   Second of two stages.
//   blocks: [T, GROUPS] of (key, index)    y: [T] u32
//   one workgroup per row; uses reduce/best
override GROUPS: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> blocks: array<Best>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn argmax_pick(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * GROUPS;
  var best = blocks[first];
  for (var i = lane; i < GROUPS; i += LANES) {
    best = better(best, blocks[first + i]);
  }
  best = bestOfLanes(best, lane);
  if (lane == 0u) {
    y[group.x] = best.index;
  }
}
