// qkv_norm: the per-head norm of queries and keys, x / sqrt(mean(x²) + EPS) · (NORM_OFFSET + w); part of qkv_prepare
//   norms: [2, D], of query and of key heads
override EPS: f32;
override NORM_OFFSET: f32;   // 1 where the checkpoint stores w − 1
@group(0) @binding(7) var<storage, read> norms: array<f32>;
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
  return NORM_OFFSET + norms[select(0u, D, is_key) + i];
}
