// moe/shared: sigmoid(gate[t]) · everyone[t,c], of the expert that every token has
@group(0) @binding(4) var<storage, read> gate: array<f32>;
@group(0) @binding(5) var<storage, read> everyone: array<f32>;

fn sharedPart(t: u32, c: u32) -> f32 {
  return everyone[t * C + c] / (1.0 + exp(min(-gate[t], 88.0)));
}
