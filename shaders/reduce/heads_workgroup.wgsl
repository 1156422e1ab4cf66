// reduce/heads_workgroup: the sum over the LANES lanes of each of ROWS heads, in every lane, through workgroup memory. Every
// lane must call it, once.
var<workgroup> parts_of_heads: array<f32, ROWS * LANES>;

fn sum_of_head(part: f32, local: vec3u) -> f32 {
  let head = local.y * LANES;
  parts_of_heads[head + local.x] = part;
  workgroupBarrier();
  var sum = 0.0;
  for (var lane = 0u; lane < LANES; lane++) {
    sum += parts_of_heads[head + lane];
  }
  return sum;
}
