// delta_conv_done: a head's channels where conv_causal has run before.   qkv: [T, C]
override C: u32;
override STATE: u32;   // vec4s of a slot's memory
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;

fn convolved(t: u32, c4: u32, owner: bool) -> vec4f {
  return qkv[t * (C / 4u) + c4];
}
