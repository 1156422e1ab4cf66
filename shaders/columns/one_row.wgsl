// columns/one_row: matvec_tiles for one token, of blocks.   uses octets/rows
alias Columns = Blocks;

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  let own = held(t0, chunk, lane);
  kept[0] = own.sums.x;
  return blocks_of(own);
}

// Adds the chunk's part to the sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  let row = at + lane;
  let all = factors_of(first + row, chunk);
  let w = words_of(first + row, chunk);
  let a = product(sums[row], span_of(w.a), all, 0u, x.a);
  let b = product(a, span_of(w.b), all, 1u, x.b);
  let c = product(b, span_of(w.c), all, 2u, x.c);
  let d = product(c, span_of(w.d), all, 3u, x.d);
  let e = product(d, span_of(w.e), all, 4u, x.e);
  let f = product(e, span_of(w.f), all, 5u, x.f);
  let g = product(f, span_of(w.g), all, 6u, x.g);
  sums[row] = product(g, span_of(w.h), all, 7u, x.h);
}
