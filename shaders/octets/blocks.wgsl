// octets/blocks: codes of W as floats times x.   uses octets/factors and spans/blocks

fn span_of(w: Row) -> Span {
  let codes = codes32(w);
  return Span(
    floats8(codes.lo.x, codes.hi.x),
    floats8(codes.lo.y, codes.hi.y),
    floats8(codes.lo.z, codes.hi.z),
    floats8(codes.lo.w, codes.hi.w),
  );
}

fn product(w: Span, all: Octet, j: u32, x: Held) -> f32 {
  let halves = pairs16(w, x.values) - ZERO * x.sums;
  let all_sums = vec2f(x.sums.x + x.sums.y, 0.0);
  return weighed(select(vec2f(halves.x + halves.y, 0.0), halves, HALVES), select(all_sums, x.sums, HALVES), all, j);
}
