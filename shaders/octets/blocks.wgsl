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

// Multiply-adds are named, or each place that this is inlined in would choose its own.
fn product(w: Span, all: Octet, j: u32, x: Held) -> f32 {
  let sums = pairs16(w, x.values) - ZERO * x.sums;
  if (HALVES && MINIMA) {
    let plus = fma(of_row(all.firstPlus, j), x.sums.x, of_row(all.secondPlus, j) * x.sums.y);
    return fma(of_row(all.first, j), sums.x, fma(of_row(all.second, j), sums.y, plus));
  }
  if (HALVES) {
    return fma(of_row(all.first, j), sums.x, of_row(all.second, j) * sums.y);
  }
  if (MINIMA) {
    return fma(of_row(all.first, j), sums.x + sums.y, of_row(all.firstPlus, j) * (x.sums.x + x.sums.y));
  }
  return of_row(all.first, j) * (sums.x + sums.y);
}
