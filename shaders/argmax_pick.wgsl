// argmax_pick: the index of the best of GROUPS candidates.   Second of two stages.
//   blocks: [GROUPS] of (key, index)    y: [1] u32
//   one workgroup; uses reduce/best
override GROUPS: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> blocks: array<Best>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn argmax_pick(@builtin(local_invocation_index) lane: u32) {
  var best = blocks[0];
  for (var i = lane; i < GROUPS; i += LANES) {
    best = better(best, blocks[i]);
  }
  best = bestOfLanes(best, lane);
  if (lane == 0u) {
    y[0] = best.index;
  }
}
