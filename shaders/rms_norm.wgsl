// rms_norm: y[t,k] = x[t,k] / sqrt(mean(x[t]²) + EPS) · (OFFSET + w[k])
//   x, out: [T, K] f32    w: [K] f32, read as the weight row W[0]; OFFSET 1 where it is stored minus one (Qwen3.5)
//   one workgroup per row t; uses reduce/*, rows/* and weights/f32
override K: u32;
override EPS: f32;
override OFFSET: f32;
override LANES: u32;

@compute @workgroup_size(LANES)
fn rms_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let pieces = (K + 7u) / 8u;
  var squares = 0.0;
  for (var piece = lane; piece < pieces; piece += LANES) {
    let values = x8(t, piece);
    squares = dot8(squares, values, values);
  }
  let scale = inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
  for (var piece = lane; piece < pieces; piece += LANES) {
    let values = x8(t, piece);
    let w = weight8(0u, piece);
    put8(t, piece, Eight(values.lo * scale * (OFFSET + w.lo), values.hi * scale * (OFFSET + w.hi)));
  }
}
