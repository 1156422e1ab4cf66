// row_scales: s[r] = (2^(14 − e), 2^(e − 14)), where 2^e ≤ max_k |value[r,k]| < 2^(e + 1): what takes a row into f16's
// range, and back. Powers of two, so that both ways are exact: what f16 holds to all of its 11 bits afterwards is
// everything down to 2^-29 of the row's largest value, and all that is smaller to 2^-39 of that value.
//   value: rows of K (scaled/*)    s: [rows] vec2f    one workgroup a row; uses rows/*, weights/*, scaled/powers,
//   scaled/largest and scaled/x or scaled/weight
override K: u32;

@group(0) @binding(3) var<storage, read_write> s: array<vec2f>;

@compute @workgroup_size(LANES)
fn row_scales(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = min(group.y * groups.x + group.x, arrayLength(&s) - 1u);
  let most = largestOf(row, lane);
  if (lane == 0u) {
    s[row] = there_and_back(most);
  }
}
