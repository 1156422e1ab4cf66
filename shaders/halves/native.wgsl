// halves/native: two values to a word in f16, as the device rounds; pack2x16float may cut instead.
enable f16;

fn packedHalves(a: f32, b: f32) -> u32 {
  return bitcast<u32>(vec2<f16>(f16(a), f16(b)));
}
