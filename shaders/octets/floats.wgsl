// octets/floats: eight rows of floats, which need nothing but their values.
alias Octet = u32;

fn octet(row: u32, chunk: u32, lane: u32) -> Octet {
  return 0u;
}

fn span_of(row: u32, chunk: u32, lane: u32) -> Span {
  return taken(row, chunk, lane);
}

fn product(w: Span, all: Octet, j: u32, x: Held) -> f32 {
  return dot_span(w, x);
}

fn moved_on(all: Octet) -> Octet {
  return all;
}
