// bench_fma: y[i] = sixteen independent chains of ROUNDS fused multiply-adds: how fast f32 arithmetic can be at all
//   y: [invocations] f32
override ROUNDS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn bench_fma(@builtin(global_invocation_id) id: vec3u) {
  let b = f32(id.x) * 1e-9;
  let c = 1.0 - 1e-7 * b;
  var s0 = b;
  var s1 = b + 1.0;
  var s2 = b + 2.0;
  var s3 = b + 3.0;
  var s4 = b + 4.0;
  var s5 = b + 5.0;
  var s6 = b + 6.0;
  var s7 = b + 7.0;
  var s8 = b + 8.0;
  var s9 = b + 9.0;
  var s10 = b + 10.0;
  var s11 = b + 11.0;
  var s12 = b + 12.0;
  var s13 = b + 13.0;
  var s14 = b + 14.0;
  var s15 = b + 15.0;
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
  y[id.x] = low + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15;
}
