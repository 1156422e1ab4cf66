// columns/several: matvec_tiles for 2 or 4 tokens, which share what is read of W, of floats. Products are made piece by piece:
// a piece stays in registers, a row would not. The sums are those of dot_span.   uses octets/floats and
// columns/spans
struct Columns {
  a: Held,
  b: Held,
  c: Held,
  d: Held,
}

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  fill_spans(t0, last, chunk, lane);
  var x = Columns();
  x.a = span_at(0u, lane);
  x.b = span_at(1u, lane);
  if (COLUMNS > 2u) {
    x.c = span_at(2u, lane);
    x.d = span_at(3u, lane);
  }
  return x;
}

fn products8(w: Words8, a: Eight, b: Eight, c: Eight, d: Eight) -> vec4f {
  let values = values8(w);
  return vec4f(pairs8(values, a), pairs8(values, b), pairs8(values, c), pairs8(values, d));
}

fn products(w: Row, x: Columns) -> vec4f {
  let a = products8(w.a, x.a.a, x.b.a, x.c.a, x.d.a);
  let b = products8(w.b, x.a.b, x.b.b, x.c.b, x.d.b);
  let c = products8(w.c, x.a.c, x.b.c, x.c.c, x.d.c);
  let d = products8(w.d, x.a.d, x.b.d, x.c.d, x.d.d);
  return (a + b) + (c + d);
}

// A lane's part of every token's product of row j of eight.
fn multiply(w: Row, j: u32, x: Columns) {
  let each = products(w, x);
  parts[j] = each.x;
  parts[8u + j] = each.y;
  if (COLUMNS > 2u) {
    parts[16u + j] = each.z;
    parts[24u + j] = each.w;
  }
}

// Adds the chunk's part to every token's sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  multiply_eight(first + at, chunk, lane, x);
  sums[at + lane] += total8(parts_of(0u), lane);
  sums[LOT + at + lane] += total8(parts_of(8u), lane);
  if (COLUMNS > 2u) {
    sums[2u * LOT + at + lane] += total8(parts_of(16u), lane);
    sums[3u * LOT + at + lane] += total8(parts_of(24u), lane);
  }
}
