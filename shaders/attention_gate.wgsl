// attention_gate: y · sigmoid(gate), the gate being the second half of a query head in the packed projection; uses
//   attention_packed, or qkv_turn in kernels that have the projection anyway

fn gated(y: vec4f, t: u32, head: u32, d4: u32) -> vec4f {
  let gate = qkv[t * (PACKED / 4u) + (2u * head + 1u) * (D / 4u) + d4];
  return y / (1.0 + exp(min(-gate, vec4f(80.0))));   // past 80 the result is 0 and exp would overflow
}
