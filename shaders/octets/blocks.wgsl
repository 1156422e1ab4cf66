// octets/blocks: codes of W as floats times x.   uses octets/factors and spans/blocks

// Past the row's end it is the last block again, which meets an input of 0.
fn span_of(row: u32, chunk: u32, lane: u32) -> Span {
  let codes = block32(row, min(chunk * LANES + lane, K / 32u - 1u));
  return Span(
    floats8(codes.lo.x, codes.hi.x),
    floats8(codes.lo.y, codes.hi.y),
    floats8(codes.lo.z, codes.hi.z),
    floats8(codes.lo.w, codes.hi.w),
  );
}

fn product(w: Span, all: Octet, j: u32, x: Held) -> f32 {
  let sums = select(vec2f(x.sums.x + x.sums.y, 0.0), x.sums, HALVES);
  return weighed(pairs16(w, x.values) - ZERO * x.sums, sums, all, j);
}
