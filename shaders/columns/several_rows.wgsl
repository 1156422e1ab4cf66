// columns/several_rows: matvec_tiles for 2 or 4 tokens, which share what is read of W, of blocks.   uses octets/rows and
// columns/spans
struct Columns {
  a: Blocks,
  b: Blocks,
  c: Blocks,
  d: Blocks,
}

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  fill_spans(t0, last, chunk, lane);
  var x = Columns();
  kept[0] = f32(opaque(COLUMNS));
  x.a = blocks_of(span_at(0u, lane));
  x.b = blocks_of(span_at(1u, lane));
  if (COLUMNS > 2u) {
    x.c = blocks_of(span_at(2u, lane));
    x.d = blocks_of(span_at(3u, lane));
  }
  return x;
}

// What block j of a row adds to the sums of all tokens.
fn added(sums: vec4f, w: Words32, all: Factors, j: u32, a: Held, b: Held, c: Held, d: Held) -> vec4f {
  let codes = span_of(w);
  let first = product(sums.x, codes, all, j, a);
  let second = product(sums.y, codes, all, j, b);
  if (COLUMNS == 2u) {
    return vec4f(first, second, 0.0, 0.0);
  }
  return vec4f(first, second, product(sums.z, codes, all, j, c), product(sums.w, codes, all, j, d));
}

// Adds the chunk's part to every token's sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  let i = at + lane;
  let all = factors_of(first + i, chunk);
  let w = words_of(first + i, chunk);
  var each = vec4f(sums[i], sums[LOT + i], 0.0, 0.0);
  if (COLUMNS > 2u) {
    each = vec4f(each.xy, sums[2u * LOT + i], sums[3u * LOT + i]);
  }
  each = added(each, w.a, all, 0u, x.a.a, x.b.a, x.c.a, x.d.a);
  each = added(each, w.b, all, 1u, x.a.b, x.b.b, x.c.b, x.d.b);
  each = added(each, w.c, all, 2u, x.a.c, x.b.c, x.c.c, x.d.c);
  each = added(each, w.d, all, 3u, x.a.d, x.b.d, x.c.d, x.d.d);
  each = added(each, w.e, all, 4u, x.a.e, x.b.e, x.c.e, x.d.e);
  each = added(each, w.f, all, 5u, x.a.f, x.b.f, x.c.f, x.d.f);
  each = added(each, w.g, all, 6u, x.a.g, x.b.g, x.c.g, x.d.g);
  each = added(each, w.h, all, 7u, x.a.h, x.b.h, x.c.h, x.d.h);
  sums[i] = each.x;
  sums[LOT + i] = each.y;
  if (COLUMNS > 2u) {
    sums[2u * LOT + i] = each.z;
    sums[3u * LOT + i] = each.w;
  }
}
