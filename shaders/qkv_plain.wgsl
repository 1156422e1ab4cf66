// qkv_plain: queries and keys without a norm; part of qkv_prepare and what does the same
const NORMED = false;

fn norm_scales(squares: vec4f) -> vec4f {
  return vec4f(1.0);
}

fn head_weight4(is_key: bool, d4: u32) -> vec4f {
  return vec4f(1.0);
}
