// bench_fma_f16: bench_fma in f16, sixteen independent chains of ROUNDS multiply-adds of four values each
//   y: [invocations] f32
enable f16;

override ROUNDS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn bench_fma_f16(@builtin(global_invocation_id) id: vec3u) {
  let b = vec4h(f16(f32(id.x & 255u) * 1e-3));
  let c = vec4h(0.5h) + b * 1e-2h;
  var s0 = b + vec4h(0.0h);
  var s1 = b + vec4h(1.0h);
  var s2 = b + vec4h(2.0h);
  var s3 = b + vec4h(3.0h);
  var s4 = b + vec4h(4.0h);
  var s5 = b + vec4h(5.0h);
  var s6 = b + vec4h(6.0h);
  var s7 = b + vec4h(7.0h);
  var s8 = b + vec4h(8.0h);
  var s9 = b + vec4h(9.0h);
  var s10 = b + vec4h(10.0h);
  var s11 = b + vec4h(11.0h);
  var s12 = b + vec4h(12.0h);
  var s13 = b + vec4h(13.0h);
  var s14 = b + vec4h(14.0h);
  var s15 = b + vec4h(15.0h);
  for (var i = 0u; i < ROUNDS; i++) {
    s0 = fma(s0, c, b);
    s1 = fma(s1, c, b);
    s2 = fma(s2, c, b);
    s3 = fma(s3, c, b);
    s4 = fma(s4, c, b);
    s5 = fma(s5, c, b);
    s6 = fma(s6, c, b);
    s7 = fma(s7, c, b);
    s8 = fma(s8, c, b);
    s9 = fma(s9, c, b);
    s10 = fma(s10, c, b);
    s11 = fma(s11, c, b);
    s12 = fma(s12, c, b);
    s13 = fma(s13, c, b);
    s14 = fma(s14, c, b);
    s15 = fma(s15, c, b);
  }
  let low = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
  let all = low + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15;
  y[id.x] = f32(all.x + all.y + all.z + all.w);
}
