// halves/emulated: halves/native for devices without f16, by halves/nearest.
fn packedHalves(a: f32, b: f32) -> u32 {
  return pack2x16float(vec2f(nearestHalf(a), nearestHalf(b)));
}
