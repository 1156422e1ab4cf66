// scaled/powers: of the largest of some values, the power of two that takes them into f16's range, and the one that
//   leads back; by the bits of their magnitudes, whose order is that of the magnitudes where these are finite.
fn magnitude4(v: vec4f) -> u32 {
  let bits = bitcast<vec4u>(v) & vec4u(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

fn powerOfTwo(e: i32) -> f32 {
  return bitcast<f32>(u32(e + 127) << 23u);
}

// (2^(14 − e), 2^(e − 14)), where 2^e ≤ most < 2^(e + 1); if most is not finite, no number leads back: whoever has to know
// that a model is sick sees it by what comes out, whatever f16 makes of what it cannot hold.
fn there_and_back(most: u32) -> vec2f {
  let e = clamp(i32(most >> 23u) - 127, -100, 127); // of less is nothing beside others
  let back = bitcast<u32>(powerOfTwo(e - 14));
  return vec2f(powerOfTwo(14 - e), bitcast<f32>(select(back, 0x7fc00000u, most >= 0x7f800000u)));
}
