// columns/by_rows: products of a row's codes with the inputs of 4 tokens, token by token.
fn products(w: Row, all: Octet, j: u32, x: Columns) -> vec4f {
  let codes = span_of(w);
  return vec4f(
    product(codes, all, j, x.a),
    product(codes, all, j, x.b),
    product(codes, all, j, x.c),
    product(codes, all, j, x.d),
  );
}
