// products/nibbles: Σ w x of 32 codes, w from 0 to 15. Of eight products the upper halves add up to 30,480 at most and the
// lower ones to 15,240, so eight are added before the lower half is rounded away: the sum is exact.   uses products/pairs
fn factorsOf(w: Coded) -> Pairs {
  return Pairs(evenBytes(w.lo), oddBytes(w.lo), evenBytes(w.hi), oddBytes(w.hi));
}

fn product32(w: Pairs, x: Pairs) -> f32 {
  let first = sum4(bitcast<vec4i>(w.a * x.a + w.b * x.b));
  let second = sum4(bitcast<vec4i>(w.c * x.c + w.d * x.d));
  return f32(((first + 0x8000) >> 16u) + ((second + 0x8000) >> 16u));
}
