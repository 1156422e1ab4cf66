// argmax_blocks: the best logit of each of GROUPS stretches of a row.   First of two stages.
//   x: [T, K] f32    blocks: [T, GROUPS] of (key, index)
//   one workgroup per stretch of PIECES pieces and row; uses reduce/best and rows/*
override K: u32;       // V, the vocabulary
override PIECES: u32;  // pieces of 8 to a workgroup
override LANES: u32;

@group(0) @binding(1) var<storage, read_write> blocks: array<Best>;

// The last piece of a ragged row is filled up with zeros, which must not win.
fn consider(best: Best, value: f32, index: u32) -> Best {
  return better(best, Best(select(0u, keyOf(value), index < K), index));
}

@compute @workgroup_size(LANES)
fn argmax_blocks(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = group.x * PIECES;
  let end = min(first + PIECES, (K + 7u) / 8u);
  var best = Best(0u, 8u * first);
  for (var piece = first + lane; piece < end; piece += LANES) {
    let values = x8(group.y, piece);
    let index = 8u * piece;
    best = consider(best, values.lo.x, index);
    best = consider(best, values.lo.y, index + 1u);
    best = consider(best, values.lo.z, index + 2u);
    best = consider(best, values.lo.w, index + 3u);
    best = consider(best, values.hi.x, index + 4u);
    best = consider(best, values.hi.y, index + 5u);
    best = consider(best, values.hi.z, index + 6u);
    best = consider(best, values.hi.w, index + 7u);
  }
  best = bestOfLanes(best, lane);
  if (lane == 0u) {
    blocks[group.y * groups.x + group.x] = best;
  }
}
