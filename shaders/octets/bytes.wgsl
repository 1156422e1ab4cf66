// octets/bytes: codes of W times x in bytes, as integers.   uses octets/factors, spans/bytes and products/halves, pieces or each

// Past the row's end it is the last block again, which meets an input of 0.
fn span_of(row: u32, chunk: u32, lane: u32) -> Pairs {
  let codes = block32(row, min(chunk * LANES + lane, K / 32u - 1u));
  return pairs_of(raised(codes.lo), raised(codes.hi));
}

fn product(w: Pairs, all: Octet, j: u32, x: Held) -> f32 {
  return weighed(vec2f(sums_of(w, x.codes, x.start)) * x.d, x.sums, all, j);
}
