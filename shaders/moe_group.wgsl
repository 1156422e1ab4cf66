// moe_group: pairs of a token and one of its experts, sorted by expert, so that an expert's rows are read once for several
//   ids: [T, USED] u32    order: [T · USED] u32, pairs; those of one expert are neighbours
//   tiles: [TILES] of (expert, first in order, how many: at most COLUMNS, 0), behind the last of them zeros
//   one workgroup; a lane counts and places the pairs of its own experts. Uses step
override E: u32;
override USED: u32;
override COLUMNS: u32;
override TILES: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> tiles: array<vec4u>;
@group(0) @binding(3) var<storage, read> step: Step;

var<workgroup> counts: array<u32, E>;

@compute @workgroup_size(LANES)
fn moe_group(@builtin(local_invocation_index) lane: u32) {
  let pairs = step.tokens * USED;
  for (var e = lane; e < E; e += LANES) {
    var count = 0u;
    for (var pair = 0u; pair < pairs; pair++) {
      count += u32(ids[pair] == e);
    }
    counts[e] = count;
  }
  workgroupBarrier();
  for (var e = lane; e < E; e += LANES) {
    var first = 0u;
    var tile = 0u;
    for (var before = 0u; before < e; before++) {
      first += counts[before];
      tile += (counts[before] + COLUMNS - 1u) / COLUMNS;
    }
    var end = first;
    for (var pair = 0u; pair < pairs; pair++) {
      if (ids[pair] == e) {
        order[end] = pair;
        end++;
      }
    }
    for (var at = first; at < end; at += COLUMNS) {
      tiles[tile] = vec4u(e, at, min(COLUMNS, end - at), 0u);
      tile++;
    }
  }
  var made = 0u;
  for (var e = 0u; e < E; e++) {
    made += (counts[e] + COLUMNS - 1u) / COLUMNS;
  }
  for (var tile = made + lane; tile < TILES; tile += LANES) {
    tiles[tile] = vec4u();
  }
}
