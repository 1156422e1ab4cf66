// products/halves: Σ (w − ZERO) x of the first and of the second 16 codes, |w − ZERO| ≤ 16: eight products of words add up to
// 32,512 at most in the upper half and 16,256 in the lower one, so the sums are exact.   uses products/words
alias Start = vec2u;

fn raised(codes: vec4u) -> vec4u {
  return codes;
}

fn start_of(x: Pairs) -> Start {
  let each = x.a + x.b + x.c + x.d;
  return vec2u(HALF) - ZEROS * vec2u(each.x + each.y, each.z + each.w);
}

fn sums_of(w: Pairs, x: Pairs, start: Start) -> vec2i {
  let each = w.a * x.a + w.b * x.b + w.c * x.c + w.d * x.d;
  return upper2(vec2u(each.x + each.y, each.z + each.w) + start);
}
