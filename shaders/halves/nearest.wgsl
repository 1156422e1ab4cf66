// halves/nearest: the nearest that f16 has, of two the even one, without f16; beyond it an infinity.
fn nearestHalf(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let normal = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
  let finite = select(normal, normal * 3e38, abs(normal) > 65504.0);
  return select(finite, (value + 0.75) - 0.75, abs(value) < 6.103515625e-5);
}
