// attention_plain: no output gate; part of attention_tile and attention_merge
fn gated(y: vec4f, t: u32, head: u32, d4: u32) -> vec4f {
  return y;
}
