// octets/bytes: codes of W times x in bytes, as integers.   uses octets/rows, spans/bytes and products/whole, halves, pieces or each

fn span_of(w: Words32) -> Pairs {
  let codes = codes32(w);
  return pairs_of(raised(codes.lo), raised(codes.hi));
}

// sum + what block j of a row adds to it.
fn product(sum: f32, w: Pairs, all: Factors, j: u32, x: Held) -> f32 {
  let halves = sums_of(w, x.codes, x.start);
  let sums = select(vec2i(halves.x + halves.y, 0), halves, HALVES);
  return weighed(sum, vec2f(sums) * x.d, x.sums, all, j);
}

// What another lane holds.
fn held_by(own: Held, lane: u32) -> Held {
  let codes = Pairs(
    subgroupShuffle(own.codes.a, lane),
    subgroupShuffle(own.codes.b, lane),
    subgroupShuffle(own.codes.c, lane),
    subgroupShuffle(own.codes.d, lane),
  );
  return Held(codes, start_of(codes), subgroupShuffle(own.d, lane), subgroupShuffle(own.sums, lane));
}
