// conv_causal: y[t,c] = silu(Σ_j weight[c,j] · x[t−3+j,c]), x = the carried window before u's first C columns
//   u: [T, STRIDE] f32    weight: [C, 4]    memory: its window is read, and moves on    y: [T, C]
//   one invocation per four channels and TILE tokens; uses steps/sequence, conv
//   The invocation of the first tile alone reads the window, and it alone writes the new columns, after reading.
override STRIDE: u32;      // row width of u
override TILE: u32 = 16u;
@group(0) @binding(0) var<storage, read> u: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> memory: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read> step: Step;

@compute @workgroup_size(64)
fn conv_causal(@builtin(global_invocation_id) id: vec3u) {
  let c4 = id.x;
  let first = id.y * TILE;
  if (c4 >= C / 4u || first >= step.tokens) { return; }
  var x0 = column(first, 3u, c4);
  var x1 = column(first, 2u, c4);
  var x2 = column(first, 1u, c4);
  for (var t = first; t < min(first + TILE, step.tokens); t++) {
    let x3 = u[t * (STRIDE / 4u) + c4];
    y[t * (C / 4u) + c4] = conv4(4u * c4, x0, x1, x2, x3);
    x0 = x1;
    x1 = x2;
    x2 = x3;
  }
  if (first > 0u) { return; }
  for (var back = min(3u, step.tokens); back > 0u; back--) {
    let t = step.tokens - back;
    memory[ring(step.slot, step.past + t, c4)] = u[t * (STRIDE / 4u) + c4];
  }
}

fn column(t: u32, back: u32, c4: u32) -> vec4f {   // u at token t − back, or the window where that is before u
  if (t >= back) { return u[(t - back) * (STRIDE / 4u) + c4]; }
  return memory[ring(step.slot, step.past + t - back, c4)];
}
