// spans/blocks: spans of planes are 32 neighbouring values, a block of the types that have blocks of 32.
alias Taken = Coded;

struct Held {
  values: Span,
  sums: vec2f, // of the first and of the second 16 values
}

fn sum8(a: Eight) -> f32 {
  let both = a.lo + a.hi;
  return (both.x + both.y) + (both.z + both.w);
}

fn held(t: u32, chunk: u32, lane: u32) -> Held {
  let first = 4u * (chunk * LANES + lane);
  let a = input_piece(t, first);
  let b = input_piece(t, first + 1u);
  let c = input_piece(t, first + 2u);
  let d = input_piece(t, first + 3u);
  return Held(Span(a, b, c, d), vec2f(sum8(a) + sum8(b), sum8(c) + sum8(d)));
}

// Past the row's end it is the last block again, which meets an input of 0.
fn taken(row: u32, chunk: u32, lane: u32) -> Taken {
  return block32(row, min(chunk * LANES + lane, K / 32u - 1u));
}

fn floats8(lo: u32, hi: u32) -> Eight {
  return Eight(vec4f(unpack4xI8(lo)), vec4f(unpack4xI8(hi)));
}

fn dot_span(w: Taken, x: Held) -> f32 {
  let codes = Span(
    floats8(w.lo.x, w.hi.x),
    floats8(w.lo.y, w.hi.y),
    floats8(w.lo.z, w.hi.z),
    floats8(w.lo.w, w.hi.w),
  );
  let parts = w.scale * pairs16(codes, x.values) + w.plus * x.sums;
  return parts.x + parts.y;
}
