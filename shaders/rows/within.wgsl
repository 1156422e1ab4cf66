// within: a step of 32 k may reach past the rows' end, with pieces that the next row begins with: they count as 0.
fn within(value: Eight, piece: u32) -> Eight {
  let inside = K % 32u == 0u || piece < (K + 7u) / 8u;
  return Eight(select(vec4f(), value.lo, inside), select(vec4f(), value.hi, inside));
}
