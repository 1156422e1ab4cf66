// vision_positions: y[t] = x[t] + Σ_i weights[t,i] · table[corners[t,i]],   i < 4: bilinear in a learned grid
//   x, y: [T, C] f32    table: [side², C] f32    corners: u32 [T, 4], rows of the table    weights: f32 [T, 4]
//   one workgroup per patch, a lane per four channels in turn
override C: u32;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<storage, read> corners: array<vec4u>;
@group(0) @binding(3) var<storage, read> weights: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<storage, read> step: Step;

const LANES = 64u;

@compute @workgroup_size(LANES)
fn vision_positions(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= step.tokens) { return; }
  let C4 = C / 4u;
  let rows = corners[t] * C4;
  let w = weights[t];
  for (var c = lane; c < C4; c += LANES) {
    let learned = w.x * table[rows.x + c] + w.y * table[rows.y + c] + w.z * table[rows.z + c] + w.w * table[rows.w + c];
    y[t * C4 + c] = x[t * C4 + c] + learned;
  }
}
