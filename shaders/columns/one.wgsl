// columns/one: matvec_tiles for one token: eight rows in a turn of the loop, whose sums are made together.
alias Columns = Held;

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  return held(t0, chunk, lane);
}

// A lane's part of the product of row j of eight.
fn product_of(row: u32, chunk: u32, lane: u32, all: Octet, j: u32, x: Columns) -> f32 {
  return product(span_of(row + j, chunk, lane), all, j, x);
}

// Adds the chunk's part to the sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  let row = first + at;
  let all = octet(row, chunk, lane);
  let each = Eight(
    vec4f(
      product_of(row, chunk, lane, all, 0u, x),
      product_of(row, chunk, lane, all, 1u, x),
      product_of(row, chunk, lane, all, 2u, x),
      product_of(row, chunk, lane, all, 3u, x),
    ),
    vec4f(
      product_of(row, chunk, lane, all, 4u, x),
      product_of(row, chunk, lane, all, 5u, x),
      product_of(row, chunk, lane, all, 6u, x),
      product_of(row, chunk, lane, all, 7u, x),
    ),
  );
  sums[at + lane] += total8(each, lane);
}
