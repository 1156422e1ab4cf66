// spans/bytes: a lane's 32 values of x as bytes: x ≈ d · code, d = max |x| / 127, as shaders/quantise_rows has them.
//   uses products/words and products/halves, pieces or each
struct Held {
  codes: Pairs,
  start: Start,
  d: f32,
  sums: vec2f, // d · Σ code, of the first and of the second 16 values; or of all 32 in .x, unless HALVES
}

// Of finite values the order of the bits is that of the magnitudes; what is not finite is larger.
fn magnitudes(v: Eight) -> vec4u {
  return max(bitcast<vec4u>(v.lo) & vec4u(0x7fffffffu), bitcast<vec4u>(v.hi) & vec4u(0x7fffffffu));
}

fn largest(v: Span) -> u32 {
  let all = max(max(magnitudes(v.a), magnitudes(v.b)), max(magnitudes(v.c), magnitudes(v.d)));
  return max(max(all.x, all.y), max(all.z, all.w));
}

// To the nearest, ties to even: behind 3 · 2²² there is no room for a fraction. (Conversions saturate, one by one.)
fn rounded(v: vec4f) -> vec4i {
  return bitcast<vec4i>(v + 12582912.0) - vec4i(0x4b400000);
}

struct Codes8 {
  lo: vec4i,
  hi: vec4i,
}

fn codes8(v: Eight, inverse: f32) -> Codes8 {
  return Codes8(rounded(v.lo * inverse), rounded(v.hi * inverse));
}

fn sum_of(v: Codes8) -> i32 {
  let both = v.lo + v.hi;
  return (both.x + both.y) + (both.z + both.w);
}

// The later of two codes in the lower half, where it meets the earlier code of W in the upper one.
fn word_of(earlier: i32, later: i32) -> u32 {
  return (bitcast<u32>(earlier) << 16u) + bitcast<u32>(later);
}

fn held(t: u32, chunk: u32, lane: u32) -> Held {
  let first = 4u * (chunk * LANES + lane);
  let x = Span(
    input_piece(t, first),
    input_piece(t, first + 1u),
    input_piece(t, first + 2u),
    input_piece(t, first + 3u),
  );
  let most = largest(x);
  let d = bitcast<f32>(most) / 127.0;
  let inverse = select(1.0 / d, 0.0, most < 0x01000000u); // of next to nothing nothing is left
  let a = codes8(x.a, inverse);
  let b = codes8(x.b, inverse);
  let c = codes8(x.c, inverse);
  let e = codes8(x.d, inverse);
  let codes = Pairs(
    vec4u(word_of(a.lo.x, a.lo.z), word_of(b.lo.x, b.lo.z), word_of(c.lo.x, c.lo.z), word_of(e.lo.x, e.lo.z)),
    vec4u(word_of(a.lo.y, a.lo.w), word_of(b.lo.y, b.lo.w), word_of(c.lo.y, c.lo.w), word_of(e.lo.y, e.lo.w)),
    vec4u(word_of(a.hi.x, a.hi.z), word_of(b.hi.x, b.hi.z), word_of(c.hi.x, c.hi.z), word_of(e.hi.x, e.hi.z)),
    vec4u(word_of(a.hi.y, a.hi.w), word_of(b.hi.y, b.hi.w), word_of(c.hi.y, c.hi.w), word_of(e.hi.y, e.hi.w)),
  );
  let halves = vec2i(sum_of(a) + sum_of(b), sum_of(c) + sum_of(e));
  let sums = d * vec2f(select(vec2i(halves.x + halves.y, 0), halves, HALVES));
  return Held(codes, start_of(codes), d, sums);
}
