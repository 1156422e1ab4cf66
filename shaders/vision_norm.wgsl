// vision_norm: y[t,k] = (x[t,k] − mean(x[t])) / sqrt(var(x[t]) + EPS) · scale[k] + shift[k]
//   x, out: [T, K] f32, K a multiple of 8    W: [2, K] f32, the scales and below them the shifts
//   one workgroup per row t; the variance is of differences, in a second walk; uses reduce/*, rows/whole, weights/f32
override K: u32;
override EPS: f32;
override LANES: u32;
@group(0) @binding(3) var<storage, read> step: Step;

@compute @workgroup_size(LANES)
fn vision_norm(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= step.tokens) { return; }
  var sum = vec4f();
  for (var piece = lane; piece < K / 8u; piece += LANES) {
    let values = x8(t, piece);
    sum += values.lo + values.hi;
  }
  let mean = dot(sum4(sum, lane), vec4f(1.0)) / f32(K);
  var squares = 0.0;
  for (var piece = lane; piece < K / 8u; piece += LANES) {
    let values = x8(t, piece);
    let off = Eight(values.lo - mean, values.hi - mean);
    squares = dot8(squares, off, off);
  }
  let scale = inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
  for (var piece = lane; piece < K / 8u; piece += LANES) {
    let values = x8(t, piece);
    let w = weight8(0u, piece);
    let shift = weight8(1u, piece);
    put8(t, piece, Eight((values.lo - mean) * scale * w.lo + shift.lo, (values.hi - mean) * scale * w.hi + shift.hi));
  }
}
