// spans/pieces: spans of floats; a lane's four pieces are LANES apart, so that neighbours read neighbouring memory.
alias Held = Span;
alias Taken = Span;

fn held(t: u32, chunk: u32, lane: u32) -> Held {
  let first = 4u * chunk * LANES + lane;
  return Span(
    input_piece(t, first),
    input_piece(t, first + LANES),
    input_piece(t, first + 2u * LANES),
    input_piece(t, first + 3u * LANES),
  );
}

// Past the row's end it is the last piece again, which meets an input of 0.
fn taken(row: u32, chunk: u32, lane: u32) -> Taken {
  let last = (K + 7u) / 8u - 1u;
  let first = 4u * chunk * LANES + lane;
  return Span(
    weight8(row, min(first, last)),
    weight8(row, min(first + LANES, last)),
    weight8(row, min(first + 2u * LANES, last)),
    weight8(row, min(first + 3u * LANES, last)),
  );
}

fn dot_span(w: Taken, x: Held) -> f32 {
  let both = pairs16(w, x);
  return both.x + both.y;
}
