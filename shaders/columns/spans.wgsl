// columns/spans: what 2 or 4 tokens need of x for a chunk, made by one copy of the code that makes a span.   uses inputs/*
var<workgroup> spans: array<Held, COLUMNS * LANES>; // a lane reads what it wrote itself

fn fill_spans(t0: u32, last: u32, chunk: u32, lane: u32) {
  let count = opaque(COLUMNS);
  for (var i = 0u; i < count; i++) {
    spans[i * LANES + lane] = held(min(t0 + i, last), chunk, lane);
  }
}

fn span_at(i: u32, lane: u32) -> Held {
  return spans[min(i, COLUMNS - 1u) * LANES + lane];
}
