// eight: a piece, 8 neighbouring values of a row, the unit in which kernels read weights and activations.
struct Eight {
  lo: vec4f,
  hi: vec4f,
}

// sum + a · b, a chain of fused multiply-adds: eight roundings, none of them avoidable in f32.
fn dot8(sum: f32, a: Eight, b: Eight) -> f32 {
  let low = fma(a.lo.w, b.lo.w, fma(a.lo.z, b.lo.z, fma(a.lo.y, b.lo.y, fma(a.lo.x, b.lo.x, sum))));
  return fma(a.hi.w, b.hi.w, fma(a.hi.z, b.hi.z, fma(a.hi.y, b.hi.y, fma(a.hi.x, b.hi.x, low))));
}
