// products/whole: Σ (w − ZERO) x of all 32 codes, |w − ZERO| ≤ 8: sixteen products of words add up to 32,512 at most in the
// upper half and 16,256 in the lower one, so the sum is exact.   uses products/words
alias Start = u32;

fn raised(codes: vec4u) -> vec4u {
  return codes;
}

fn start_of(x: Pairs) -> Start {
  let each = x.a + x.b + x.c + x.d;
  return HALF - ZEROS * ((each.x + each.y) + (each.z + each.w));
}

fn sums_of(w: Pairs, x: Pairs, start: Start) -> vec2i {
  let each = w.a * x.a + w.b * x.b + w.c * x.c + w.d * x.d;
  return vec2i(bitcast<i32>((each.x + each.y) + (each.z + each.w) + start) >> 16u, 0);
}
