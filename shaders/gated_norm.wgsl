// gated_norm: y = x / rms(x) · w · silu(z), per token and value head
//   x, y: [T, Nv·Dv]    w: [Dv], plain, shared by all heads    z: [T, Nv, Dv] inside rows of STRIDE, from OFFSET on
//   one workgroup per (head, token); uses reduce/*, delta_gates
override HEADS: u32;
override QUADS: u32;     // Dv / 4
override STRIDE: u32;    // row width of u, where z lies
override OFFSET: u32;    // first column of z
override EPS: f32;
override LANES: u32;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> u: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(LANES)
fn gated_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * HEADS + group.x) * QUADS;
  let gate = (group.y * STRIDE + OFFSET) / 4u + group.x * QUADS;
  var squares = 0.0;
  for (var c = lane; c < QUADS; c += LANES) { squares += dot(x[row + c], x[row + c]); }
  let scale = inverseSqrt(sum4(vec4f(squares), lane).x / f32(4u * QUADS) + EPS);
  for (var c = lane; c < QUADS; c += LANES) { y[row + c] = x[row + c] * scale * w[c] * silu4(u[gate + c]); }
}
