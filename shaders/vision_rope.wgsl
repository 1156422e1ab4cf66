// vision_rope: queries and keys turn by the place of their patch, in place; values are left.
//   pairs (i, i + D/2), i < D/2:   y_i = x_i·c − x_{i+D/2}·s    y_{i+D/2} = x_{i+D/2}·c + x_i·s
//   (c, s) = table[row of t, i] for i < D/4, table[column of t, i − D/4] above
//   qkv: [T, 3·HEADS·D] = q | k | v, head by head    places: u32 [T, 2] (row, column)    table: [places, D/4, 2]
//   one workgroup per patch, a lane per pair in turn
override HEADS: u32;
override D: u32;
@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> places: array<vec2u>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;
@group(0) @binding(3) var<storage, read> step: Step;

const LANES = 64u;

@compute @workgroup_size(LANES)
fn vision_rope(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= step.tokens) { return; }
  let place = places[t];
  let quarter = D / 4u;
  for (var j = lane; j < 2u * HEADS * (D / 2u); j += LANES) {      // query heads, then key heads
    let i = j % (D / 2u);
    let at = t * 3u * HEADS * D + j / (D / 2u) * D + i;
    let turn = table[select(place.y * quarter + i - quarter, place.x * quarter + i, i < quarter)];
    let first = qkv[at];
    let second = qkv[at + D / 2u];
    qkv[at] = first * turn.x - second * turn.y;
    qkv[at + D / 2u] = second * turn.x + first * turn.y;
  }
}
