// octets/floats: eight rows of floats, which need nothing but their values.   uses spans/pieces and columns/*
alias Octet = u32;

// What a lane takes of a row, as it was read.
struct Row {
  a: Words8,
  b: Words8,
  c: Words8,
  d: Words8,
}

// Past the row's end it is the last piece again, which meets an input of 0.
fn row_of(row: u32, chunk: u32, lane: u32) -> Row {
  let last = (K + 7u) / 8u - 1u;
  let first = 4u * chunk * LANES + lane;
  return Row(
    words8(row, min(first, last)),
    words8(row, min(first + LANES, last)),
    words8(row, min(first + 2u * LANES, last)),
    words8(row, min(first + 3u * LANES, last)),
  );
}

fn span_of(w: Row) -> Span {
  return Span(values8(w.a), values8(w.b), values8(w.c), values8(w.d));
}

fn product(w: Span, all: Octet, j: u32, x: Held) -> f32 {
  return dot_span(w, x);
}

// A row is read before the one ahead of it is multiplied: then both go on at once, and more would not fit in registers.
fn multiply_eight(row: u32, chunk: u32, lane: u32, x: Columns) {
  let a = row_of(row, chunk, lane);
  let b = row_of(row + 1u, chunk, lane);
  multiply(a, 0u, 0u, x);
  let c = row_of(row + 2u, chunk, lane);
  multiply(b, 0u, 1u, x);
  let d = row_of(row + 3u, chunk, lane);
  multiply(c, 0u, 2u, x);
  let e = row_of(row + 4u, chunk, lane);
  multiply(d, 0u, 3u, x);
  let f = row_of(row + 5u, chunk, lane);
  multiply(e, 0u, 4u, x);
  let g = row_of(row + 6u, chunk, lane);
  multiply(f, 0u, 5u, x);
  let h = row_of(row + 7u, chunk, lane);
  multiply(g, 0u, 6u, x);
  multiply(h, 0u, 7u, x);
}
