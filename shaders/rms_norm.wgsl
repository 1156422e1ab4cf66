// rms_norm: y[t,k] = x[t,k] / sqrt(mean(x[t]²) + EPS) · (OFFSET + gain[k])
//   x, out: [T, K] f32    gain: [K] f32
//   one workgroup per row t; uses reduce/*, rows/* and rows/normed
override K: u32;
override LANES: u32;

@compute @workgroup_size(LANES)
fn rms_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let scale = rowScale(t, lane);
  for (var piece = lane; piece < pieces(); piece += LANES) {
    put8(t, piece, normed8(t, piece, scale));
  }
}
