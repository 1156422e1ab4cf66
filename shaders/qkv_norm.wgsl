// qkv_norm: the per-head norm of queries and keys, x / sqrt(mean(x²) + EPS) · (NORM_OFFSET + w); part of qkv_prepare
//   q_norm, k_norm: [D], shared by all heads
override EPS: f32;
override NORM_OFFSET: f32;   // 1 where the checkpoint stores w − 1
@group(0) @binding(7) var<storage, read> q_norm: array<f32>;
@group(0) @binding(8) var<storage, read> k_norm: array<f32>;
var<workgroup> squares: array<array<f32, LANES>, ROWS>;

fn head_scale(base: u32, local: vec3u) -> f32 {
  var sum = 0.0;
  for (var i = local.x; i < D; i += LANES) {
    sum += qkv[base + i] * qkv[base + i];
  }
  squares[local.y][local.x] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var lane = 0u; lane < LANES; lane++) {
    sum += squares[local.y][lane];
  }
  return 1.0 / sqrt(sum / f32(D) + EPS);
}

fn head_weight(is_key: bool, i: u32) -> f32 {
  if (is_key) { return NORM_OFFSET + k_norm[i]; }
  return NORM_OFFSET + q_norm[i];
}
