// epilogue/bias_residual: y[t,n] = v + bias[n] + add[t,n]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> add: array<f32>;

fn finish(t: u32, n: u32, value: f32) -> f32 {
  return value + bias[n] + add[t * N + n];
}
