// products/fives: Σ (w − CENTRE) x of the first and of the second 16 codes, |w − CENTRE| ≤ 16: of eight words the upper halves
// add up to 32,512 at most and the lower ones to 16,256, so eight are added before the lower half is rounded away: the sums
// are exact. What w is too much by is taken off modulo 2³² by a start that depends on x alone.   uses products/pairs
alias Start = vec2i;
const CENTRE = select(ZERO, 16.0, MINIMA);
const PLUS = MINIMA;
const MIDDLE = CENTRE - ZERO;

fn factorsOf(w: Bytes32) -> Pairs {
  return Pairs(evenBytes(w.lo), oddBytes(w.lo), evenBytes(w.hi), oddBytes(w.hi));
}

fn startOf(x: Pairs) -> Start {
  let each = bitcast<vec4i>((x.a + x.b) + (x.c + x.d));
  return vec2i(0x8000) - i32(CENTRE) * 0x10001 * vec2i(each.x + each.y, each.z + each.w);
}

fn sum2(sums: vec2u) -> i32 {
  return bitcast<i32>(sums.x + sums.y);
}

fn first16(w: Pairs, x: Pairs) -> i32 {
  return sum2(w.a.xy * x.a.xy + w.b.xy * x.b.xy + w.c.xy * x.c.xy + w.d.xy * x.d.xy);
}

fn second16(w: Pairs, x: Pairs) -> i32 {
  return sum2(w.a.zw * x.a.zw + w.b.zw * x.b.zw + w.c.zw * x.c.zw + w.d.zw * x.d.zw);
}

fn halvesOf(first: vec4i, second: vec4i, start: Start) -> Halves {
  return Halves((first + start.x) >> vec4u(16u), (second + start.y) >> vec4u(16u));
}
