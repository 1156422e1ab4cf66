// epilogue/gelu_erf: y = ½ u (1 + erf(u / √2)), u = v + bias[n]
//   erfc(z) = P(1 / (1 + p z)) e^(−z²) for z ≥ 0 (Abramowitz and Stegun 7.1.26), off by 1.5e-7 at most
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn finish(t: u32, n: u32, value: f32) -> f32 {
  let u = value + bias[n];
  let z = min(abs(u) * 0.7071067811865476, 9.0);
  let s = 1.0 / (1.0 + 0.3275911 * z);
  let P = s * (0.254829592 + s * (-0.284496736 + s * (1.421413741 + s * (-1.453152027 + s * 1.061405429))));
  let tail = 0.5 * P * exp(-z * z); // of the normal distribution, beyond |u|
  return u * select(tail, 1.0 - tail, u >= 0.0);
}
