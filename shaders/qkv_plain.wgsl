// qkv_plain: queries and keys without a norm; part of qkv_prepare
fn head_scale(base: u32, local: vec3u) -> f32 {
  return 1.0;
}

fn head_weight4(is_key: bool, d4: u32) -> vec4f {
  return vec4f(1.0);
}
