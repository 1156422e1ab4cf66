// embed: y[t] = W[id of t], decoded to f32; and where a token's row and position are found, they are its next   uses ids/*
//   ids: [T] u32    W: rows FIRST … FIRST + ROWS of the table [N, K]    out: [T, K] f32
//   one workgroup per token; each shard of the table writes only the tokens it holds. An id beyond the table gives a
//   row of zeros (from the first shard); the host refuses such ids before they come here.
override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> ids: array<u32>;

@compute @workgroup_size(LANES)
fn embed(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  if (FIRST == 0u && lane == 0u) {
    moveOn(t);
  }
  let id = idOf(t);
  let held = id >= FIRST && id - FIRST < ROWS;
  let unknown = id >= N && FIRST == 0u;
  for (var piece = lane; piece < (K + 7u) / 8u; piece += LANES) {
    if (held) {
      put8(t, piece, weight8(id - FIRST, piece));
    } else if (unknown) {
      put8(t, piece, Eight());
    }
  }
}
