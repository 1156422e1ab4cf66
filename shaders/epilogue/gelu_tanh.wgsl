// epilogue/gelu_tanh: y = ½ u (1 + tanh(√(2/π) (u + 0.044715 u³))), u = v + bias[n]
//   as u · sigmoid of twice the argument: WGSL leaves tanh and exp open where they overflow, so exp's argument is held
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn finish(t: u32, n: u32, value: f32) -> f32 {
  let u = value + bias[n];
  let argument = 1.5957691216057308 * (u + 0.044715 * u * u * u);
  return u / (1.0 + exp(clamp(-argument, -88.0, 88.0)));
}
