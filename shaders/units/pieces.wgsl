// units/pieces: of a row matvec takes a piece of 8 values at a time, as floats.   uses inputs/plain or inputs/deferred
alias Unit = Eight;
alias Gains = Eight;

// Of a row.
fn units() -> u32 {
  return (K + 7u) / 8u;
}

fn unitOf(row: u32, i: u32) -> Unit {
  return weight8(row, i);
}

fn gainsOf(i: u32) -> Gains {
  return gainOf(i);
}

fn added(r: Running, w: Rows, gains: Gains, t: u32, i: u32) -> Running {
  let x = x8(t, i);
  let values = gained(x, gains);
  let sums = vec4f(
    dot8(r.sums.x, w.a, values),
    dot8(r.sums.y, w.b, values),
    dot8(r.sums.z, w.c, values),
    dot8(r.sums.w, w.d, values),
  );
  return Running(sums, squared(r.squares, x));
}
