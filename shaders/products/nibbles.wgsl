// products/nibbles: Σ (w − 8) x of 32 codes, w from 0 to 15: the upper halves of sixteen words add up to 32,512 at most and
// the lower ones to 16,256, so all are added before the lower half is rounded away: the sum is exact. What w is too much by
// is taken off modulo 2³² by a start that depends on x alone.   uses products/pairs
alias Start = i32;
const PLUS = MINIMA;
const MIDDLE = 8.0 - ZERO; // times the scale, it is added: what MINIMA count from is not 8

fn factorsOf(w: Bytes32) -> Pairs {
  return Pairs(evenBytes(w.lo), oddBytes(w.lo), evenBytes(w.hi), oddBytes(w.hi));
}

fn startOf(x: Pairs) -> Start {
  return 0x8000 - 0x80008 * sum4(bitcast<vec4i>((x.a + x.b) + (x.c + x.d)));
}

fn first16(w: Pairs, x: Pairs) -> i32 {
  return sum4(bitcast<vec4i>(w.a * x.a + w.b * x.b));
}

fn second16(w: Pairs, x: Pairs) -> i32 {
  return sum4(bitcast<vec4i>(w.c * x.c + w.d * x.d));
}

fn halvesOf(first: vec4i, second: vec4i, start: Start) -> Halves {
  return Halves((first + second + start) >> vec4u(16u), vec4i());
}
