// octets/blocks: codes of W as floats times x.   uses octets/rows and spans/blocks

fn span_of(w: Words32) -> Span {
  let codes = codes32(w);
  return Span(
    floats8(codes.lo.x, codes.hi.x),
    floats8(codes.lo.y, codes.hi.y),
    floats8(codes.lo.z, codes.hi.z),
    floats8(codes.lo.w, codes.hi.w),
  );
}

fn product(sum: f32, w: Span, all: Factors, j: u32, x: Held) -> f32 {
  let halves = pairs16(w, x.values) - ZERO * x.sums;
  let all_sums = vec2f(x.sums.x + x.sums.y, 0.0);
  return weighed(sum, select(vec2f(halves.x + halves.y, 0.0), halves, HALVES), select(all_sums, x.sums, HALVES), all, j);
}

fn eight_by(own: Eight, lane: u32) -> Eight {
  return Eight(subgroupShuffle(own.lo, lane), subgroupShuffle(own.hi, lane));
}

// What another lane holds.
fn held_by(own: Held, lane: u32) -> Held {
  let v = own.values;
  let values = Span(eight_by(v.a, lane), eight_by(v.b, lane), eight_by(v.c, lane), eight_by(v.d, lane));
  return Held(values, subgroupShuffle(own.sums, lane));
}
