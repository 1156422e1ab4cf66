// products/pieces: Σ (w − ZERO) x of the first and of the second 16 codes, |w − ZERO| ≤ 32: the four products of words of a
// piece of 8 add up to 32,512 at most in the upper half, so the sums are exact.   uses products/words
alias Start = vec4u;

fn raised(codes: vec4u) -> vec4u {
  return codes;
}

fn start_of(x: Pairs) -> Start {
  return vec4u(HALF) - ZEROS * (x.a + x.b + x.c + x.d);
}

fn sums_of(w: Pairs, x: Pairs, start: Start) -> vec2i {
  let each = upper4(w.a * x.a + w.b * x.b + w.c * x.c + w.d * x.d + start);
  return vec2i(each.x + each.y, each.z + each.w);
}
