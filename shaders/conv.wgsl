// conv: silu(Σ_j weight[c,j] · x_j) for the four channels c … c+3; x0 is the oldest of four columns, x3 the newest
//   weight: [C, 4] f32 at @binding(1); uses silu
//   memory: what each slot's sequence carries: the window [4, C] of latest columns, then the state of the delta rule
// The window is a ring, position p in row p mod 4. Token by token, a step reads three rows and writes the fourth, so
// workgroups which share a channel need not agree on an order.
override C: u32;        // channels of q | k | v
override STATE: u32;    // vec4s of a slot's memory
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;

fn conv4(c: u32, x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f) -> vec4f {
  let tap = transpose(mat4x4f(weight[c], weight[c + 1u], weight[c + 2u], weight[c + 3u]));
  return silu4(tap[0] * x0 + tap[1] * x1 + tap[2] * x2 + tap[3] * x3);
}

// Where four channels of a position lie in memory; a position below zero wraps as u32 does.
fn ring(slot: u32, position: u32, c4: u32) -> u32 {
  return slot * STATE + (position & 3u) * (C / 4u) + c4;
}
