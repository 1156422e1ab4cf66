// products/wider: Σ (w − ZERO) x of the first and of the second 16 codes, |w − ZERO| ≤ 32. Of four words, a piece of 8, the
// upper halves add up to 32,512 at most and the lower ones to 16,256, so four are added before the lower half is rounded
// away: the sum is exact.   uses products/pairs
alias Start = i32;
const PLUS = MINIMA; // what ZERO is too much is off already
const MIDDLE = 0.0;

fn factorsOf(w: Bytes32) -> Pairs {
  let zero = vec4u(u32(ZERO) * 0x10001u);
  return Pairs(evenBytes(w.lo) - zero, oddBytes(w.lo) - zero, evenBytes(w.hi) - zero, oddBytes(w.hi) - zero);
}

fn cut(sums: vec2u) -> i32 {
  let each = (bitcast<vec2i>(sums) + vec2i(0x8000)) >> vec2u(16u);
  return each.x + each.y;
}

fn first16(w: Pairs, x: Pairs) -> i32 {
  return cut(w.a.xy * x.a.xy + w.b.xy * x.b.xy + w.c.xy * x.c.xy + w.d.xy * x.d.xy);
}

fn second16(w: Pairs, x: Pairs) -> i32 {
  return cut(w.a.zw * x.a.zw + w.b.zw * x.b.zw + w.c.zw * x.c.zw + w.d.zw * x.d.zw);
}

fn startOf(_x: Pairs) -> Start {
  return 0; // each is whole already
}

fn halvesOf(first: vec4i, second: vec4i, _start: Start) -> Halves {
  return Halves(first, second);
}
