// qkv_norm: the per-head norm of queries and keys, x / sqrt(mean(x²) + EPS) · (NORM_OFFSET + w); part of qkv_prepare and
//   what does the same
//   norms: [2, D], of query and of key heads
const NORMED = true;
override EPS: f32;
override NORM_OFFSET: f32;   // 1 where the checkpoint stores w − 1
@group(0) @binding(7) var<storage, read> norms: array<vec4f>;

// Of four heads whose squares add up to these.
fn norm_scales(squares: vec4f) -> vec4f {
  return 1.0 / sqrt(squares / f32(D) + EPS);
}

fn head_weight4(is_key: bool, d4: u32) -> vec4f {
  return NORM_OFFSET + norms[select(0u, D4, is_key) + d4];
}
