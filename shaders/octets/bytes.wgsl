// octets/bytes: codes of W times x in bytes, as integers.   uses octets/factors, spans/bytes and products/halves, pieces or each

// Past the row's end it is the last block again, which meets an input of 0.
fn span_of(row: u32, chunk: u32, lane: u32) -> Pairs {
  let codes = block32(row, min(chunk * LANES + lane, K / 32u - 1u));
  return pairs_of(raised(codes.lo), raised(codes.hi));
}

// Multiply-adds are named, or each place that this is inlined in would choose its own.
fn product(w: Pairs, all: Octet, j: u32, x: Held) -> f32 {
  let sums = vec2f(sums_of(w, x.codes, x.start)) * x.d;
  if (HALVES && MINIMA) {
    let plus = fma(of_row(all.firstPlus, j), x.sums.x, of_row(all.secondPlus, j) * x.sums.y);
    return fma(of_row(all.first, j), sums.x, fma(of_row(all.second, j), sums.y, plus));
  }
  if (HALVES) {
    return fma(of_row(all.first, j), sums.x, of_row(all.second, j) * sums.y);
  }
  if (MINIMA) {
    return fma(of_row(all.first, j), sums.x + sums.y, of_row(all.firstPlus, j) * x.sums.x);
  }
  return of_row(all.first, j) * (sums.x + sums.y);
}
