// epilogue/bias: y[t,n] = v + bias[n]
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn finish(t: u32, n: u32, value: f32) -> f32 {
  return value + bias[n];
}
