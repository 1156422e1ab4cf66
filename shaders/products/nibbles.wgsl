// products/nibbles: Σ w x of 32 codes, w from 0 to 15. Of eight products the upper halves add up to 30,480 at most and the
// lower ones to 15,240, so eight are added before the lower half is rounded away: the sum is exact.   uses products/pairs
const PLUS = true;

fn factorsOf(w: Coded) -> Pairs {
  return Pairs(evenBytes(w.lo), oddBytes(w.lo), evenBytes(w.hi), oddBytes(w.hi));
}

fn cut(sums: vec4u) -> i32 {
  return (sum4(bitcast<vec4i>(sums)) + 0x8000) >> 16u;
}

fn first16(w: Pairs, x: Pairs) -> i32 {
  return cut(w.a * x.a + w.b * x.b);
}

fn second16(w: Pairs, x: Pairs) -> i32 {
  return cut(w.c * x.c + w.d * x.d);
}
