// columns/by_pieces: products of a row's floats with the inputs of 4 tokens, piece by piece: a piece stays in registers, a row
// would not. The sums are those of dot_span.
fn products8(w: Words8, a: Eight, b: Eight, c: Eight, d: Eight) -> vec4f {
  let values = values8(w);
  return vec4f(pairs8(values, a), pairs8(values, b), pairs8(values, c), pairs8(values, d));
}

fn products(w: Row, all: Octet, j: u32, x: Columns) -> vec4f {
  let a = products8(w.a, x.a.a, x.b.a, x.c.a, x.d.a);
  let b = products8(w.b, x.a.b, x.b.b, x.c.b, x.d.b);
  let c = products8(w.c, x.a.c, x.b.c, x.c.c, x.d.c);
  let d = products8(w.d, x.a.d, x.b.d, x.c.d, x.d.d);
  return (a + b) + (c + d);
}
