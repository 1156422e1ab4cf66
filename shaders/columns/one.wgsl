// columns/one: matvec_tiles for one token, of floats.   uses octets/floats
alias Columns = Held;

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  return held(t0, chunk, lane);
}

// A lane's part of the product of row j of eight.
fn multiply(w: Row, j: u32, x: Columns) {
  parts[j] = dot_span(span_of(w), x);
}

// Adds the chunk's part to the sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  multiply_eight(first + at, chunk, lane, x);
  sums[at + lane] += total8(parts_of(0u), lane);
}
