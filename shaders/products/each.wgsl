// products/each: Σ w x of the first and of the second 16 codes, w any signed byte: each product of words, 32,512 at most in
// the upper half, is cut by itself, so the sums are exact. Codes are raised by 128.   uses products/words
alias Start = Pairs;

fn raised(codes: vec4u) -> vec4u {
  return codes ^ vec4u(0x80808080u);
}

fn start_of(x: Pairs) -> Start {
  let raise = vec4u(0x00800080u);
  let half = vec4u(HALF);
  return Pairs(half - raise * x.a, half - raise * x.b, half - raise * x.c, half - raise * x.d);
}

fn sums_of(w: Pairs, x: Pairs, start: Start) -> vec2i {
  let first = upper4(w.a * x.a + start.a) + upper4(w.b * x.b + start.b);
  let each = first + (upper4(w.c * x.c + start.c) + upper4(w.d * x.d + start.d));
  return vec2i(each.x + each.y, each.z + each.w);
}
