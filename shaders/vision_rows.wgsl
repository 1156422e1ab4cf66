// vision_rows: x[t] = pictures[t] where chosen[t], in place; the other rows stay as they are.
//   x, pictures: [T, C] f32    chosen: u32 [T], 0 or 1
//   one workgroup per token, a lane per channel in turn
override C: u32;
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> pictures: array<f32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;

const LANES = 64u;

@compute @workgroup_size(LANES)
fn vision_rows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  if (chosen[t] == 0u) { return; }
  for (var c = lane; c < C; c += LANES) {
    x[t * C + c] = pictures[t * C + c];
  }
}
