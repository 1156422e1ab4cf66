// bench_dot: sixteen independent chains of ROUNDS four-fold products of signed bytes: how fast integers can be at all
//   y: [invocations] u32
override ROUNDS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<i32>;

@compute @workgroup_size(64)
fn bench_dot(@builtin(global_invocation_id) id: vec3u) {
  let b = id.x * 2654435761u;
  var s0 = i32(b) + 0;
  var s1 = i32(b) + 1;
  var s2 = i32(b) + 2;
  var s3 = i32(b) + 3;
  var s4 = i32(b) + 4;
  var s5 = i32(b) + 5;
  var s6 = i32(b) + 6;
  var s7 = i32(b) + 7;
  var s8 = i32(b) + 8;
  var s9 = i32(b) + 9;
  var s10 = i32(b) + 10;
  var s11 = i32(b) + 11;
  var s12 = i32(b) + 12;
  var s13 = i32(b) + 13;
  var s14 = i32(b) + 14;
  var s15 = i32(b) + 15;
  for (var i = 0u; i < ROUNDS; i++) {
    s0 += dot4I8Packed(bitcast<u32>(s0), b);
    s1 += dot4I8Packed(bitcast<u32>(s1), b);
    s2 += dot4I8Packed(bitcast<u32>(s2), b);
    s3 += dot4I8Packed(bitcast<u32>(s3), b);
    s4 += dot4I8Packed(bitcast<u32>(s4), b);
    s5 += dot4I8Packed(bitcast<u32>(s5), b);
    s6 += dot4I8Packed(bitcast<u32>(s6), b);
    s7 += dot4I8Packed(bitcast<u32>(s7), b);
    s8 += dot4I8Packed(bitcast<u32>(s8), b);
    s9 += dot4I8Packed(bitcast<u32>(s9), b);
    s10 += dot4I8Packed(bitcast<u32>(s10), b);
    s11 += dot4I8Packed(bitcast<u32>(s11), b);
    s12 += dot4I8Packed(bitcast<u32>(s12), b);
    s13 += dot4I8Packed(bitcast<u32>(s13), b);
    s14 += dot4I8Packed(bitcast<u32>(s14), b);
    s15 += dot4I8Packed(bitcast<u32>(s15), b);
  }
  let low = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
  y[id.x] = low + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15;
}
