// qkv_norm: the per-head norm of queries and keys, x / sqrt(mean(x²) + EPS) · (NORM_OFFSET + w); part of qkv_prepare, uses
//   reduce/heads_*
//   norms: [2, D], of query and of key heads
override EPS: f32;
override NORM_OFFSET: f32;   // 1 where the checkpoint stores w − 1
@group(0) @binding(7) var<storage, read> norms: array<vec4f>;

fn head_scale(base: u32, local: vec3u) -> f32 {
  var sum = 0.0;
  for (var d4 = local.x; d4 < D4; d4 += LANES) {
    sum += dot(qkv[base + d4], qkv[base + d4]);
  }
  return 1.0 / sqrt(sum_of_head(sum, local) / f32(D) + EPS);
}

fn head_weight4(is_key: bool, d4: u32) -> vec4f {
  return NORM_OFFSET + norms[select(0u, D4, is_key) + d4];
}
