// octets/bytes: codes of W times x in bytes, as integers.   uses octets/factors, spans/bytes and products/halves, pieces or each

fn span_of(w: Row) -> Pairs {
  let codes = codes32(w);
  return pairs_of(raised(codes.lo), raised(codes.hi));
}

fn product(w: Pairs, all: Octet, j: u32, x: Held) -> f32 {
  let halves = sums_of(w, x.codes, x.start);
  let sums = select(vec2i(halves.x + halves.y, 0), halves, HALVES);
  return weighed(vec2f(sums) * x.d, x.sums, all, j);
}
