// qkv_plain: queries and keys without a norm; part of qkv_prepare
fn head_scale(base: u32, local: vec3u) -> f32 {
  return 1.0;
}

fn head_weight(is_key: bool, i: u32) -> f32 {
  return 1.0;
}
