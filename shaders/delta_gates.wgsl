// delta_gates: beta = sigmoid(b), the share of the value that is written;
//   g = −exp(A_log) · softplus(a + dt_bias) ≤ 0, the logarithm of the state's decay
fn sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 80.0)));   // no overflow to infinity
}

fn logDecay(a: f32, A_log: f32, dt_bias: f32) -> f32 {
  return -exp(A_log) * softplus(a + dt_bias);
}

// log(1 + eˣ) = max(x, 0) + log1p(e^−|x|), and log1p(e) = 2·atanh(e / (2 + e)), whose series is exact to f32 for
// e ≤ 1 where WGSL's log is not: a small g must keep its digits, since it is summed over thousands of tokens.
fn softplus(x: f32) -> f32 {
  let e = exp(-abs(x));
  let s = e / (2.0 + e);
  let s2 = s * s;
  let series = 1.0 + s2 * (1.0 / 3.0 + s2 * (1.0 / 5.0 + s2 * (1.0 / 7.0 + s2 * (1.0 / 9.0 + s2 * (1.0 / 11.0
    + s2 * (1.0 / 13.0))))));
  return max(x, 0.0) + 2.0 * s * series;
}

fn silu4(x: vec4f) -> vec4f {
  return x / (1.0 + exp(min(-x, vec4f(80.0))));
}
