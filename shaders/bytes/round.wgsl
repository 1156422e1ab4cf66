// bytes/round: a block of a row in bytes: code = round(v / d), d = max |v| / 127.   uses rows/span and bytes/put_*
// Of finite values the order of the bits is that of the magnitudes; what is not finite is larger.
fn magnitude8(v: Eight) -> u32 {
  let both = max(bitcast<vec4u>(v.lo) & vec4u(0x7fffffffu), bitcast<vec4u>(v.hi) & vec4u(0x7fffffffu));
  return max(max(both.x, both.y), max(both.z, both.w));
}

// To the nearest, ties to even: behind 3 · 2²² there is no room for a fraction. (Conversions saturate, one by one.)
fn rounded(v: vec4f) -> vec4i {
  return bitcast<vec4i>(v + 12582912.0) - vec4i(0x4b400000);
}

struct Rounded {
  lo: vec4i,
  hi: vec4i,
}

fn rounded8(v: Eight, inverse: f32) -> Rounded {
  return Rounded(rounded(v.lo * inverse), rounded(v.hi * inverse));
}

fn putRounded(t: u32, block: u32, v: Span) {
  let most = max(max(magnitude8(v.a), magnitude8(v.b)), max(magnitude8(v.c), magnitude8(v.d)));
  let d = bitcast<f32>(most) / 127.0;
  let inverse = select(1.0 / d, 0.0, most < 0x01000000u); // of rows of next to nothing nothing is left
  let a = rounded8(v.a, inverse);
  let b = rounded8(v.b, inverse);
  let c = rounded8(v.c, inverse);
  let e = rounded8(v.d, inverse);
  let lo = vec4u(pack4xI8(a.lo), pack4xI8(b.lo), pack4xI8(c.lo), pack4xI8(e.lo));
  let hi = vec4u(pack4xI8(a.hi), pack4xI8(b.hi), pack4xI8(c.hi), pack4xI8(e.hi));
  let sums = (a.lo + a.hi) + (b.lo + b.hi) + (c.lo + c.hi) + (e.lo + e.hi);
  putBlock(t, block, lo, hi, vec2f(d, d * f32(sums.x + sums.y + sums.z + sums.w)));
}
