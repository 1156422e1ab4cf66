// span: a span, the 32 values of a row that a lane takes at once: four pieces. LANES spans are a chunk of the row.
struct Span {
  a: Eight,
  b: Eight,
  c: Eight,
  d: Eight,
}

// Sums in pairs: in a chain each addition would wait for the one before.
fn pairs8(a: Eight, b: Eight) -> f32 {
  let lo = a.lo * b.lo;
  let hi = a.hi * b.hi;
  return ((lo.x + lo.y) + (lo.z + lo.w)) + ((hi.x + hi.y) + (hi.z + hi.w));
}

// The sums of the first and of the second 16 products.
fn pairs16(a: Span, b: Span) -> vec2f {
  return vec2f(pairs8(a.a, b.a) + pairs8(a.b, b.b), pairs8(a.c, b.c) + pairs8(a.d, b.d));
}
