// gated_norm: y = x / rms(x) · w · silu(z), per token and value head
//   x, y: [T, Nv·Dv]    w: [Dv], plain, shared by all heads    z: [T, Nv, Dv] inside rows of STRIDE, from OFFSET on
//   one workgroup per (head, token), one invocation per four channels; uses delta_gates
override HEADS: u32;
override QUADS: u32;     // Dv / 4, at most 64
override STRIDE: u32;    // row width of u, where z lies
override OFFSET: u32;    // first column of z
override EPS: f32;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> u: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

var<workgroup> squares: array<f32, QUADS>;

@compute @workgroup_size(QUADS)
fn gated_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) c: u32) {
  let head = group.x;
  let t = group.y;
  let at = (t * HEADS + head) * QUADS + c;
  let value = x[at];
  squares[c] = dot(value, value);
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < QUADS; i++) { sum += squares[i]; }
  let scale = inverseSqrt(sum / f32(4u * QUADS) + EPS);
  let z = u[(t * STRIDE + OFFSET) / 4u + head * QUADS + c];
  y[at] = value * scale * w[c] * silu4(z);
}
