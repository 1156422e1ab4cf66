// columns/several: matvec_tiles for 2 or 4 tokens: a row in a turn of the loop, the tokens' sums made together.
struct Columns {
  a: Held,
  b: Held,
  c: Held,
  d: Held,
}

// For one copy of the code that makes a span; a lane reads what it wrote itself.
var<workgroup> spans: array<Held, COLUMNS * LANES>;

fn span_at(i: u32, lane: u32) -> Held {
  return spans[min(i, COLUMNS - 1u) * LANES + lane];
}

fn columns(t0: u32, last: u32, chunk: u32, lane: u32) -> Columns {
  let count = opaque(COLUMNS);
  for (var i = 0u; i < count; i++) {
    spans[i * LANES + lane] = held(min(t0 + i, last), chunk, lane);
  }
  var x = Columns();
  x.a = span_at(0u, lane);
  x.b = span_at(1u, lane);
  if (COLUMNS > 2u) {
    x.c = span_at(2u, lane);
    x.d = span_at(3u, lane);
  }
  return x;
}

// Adds the chunk's part to every token's sums of eight rows, `at` … of the workgroup's, which begin at row `first`.
fn add_eight(at: u32, first: u32, chunk: u32, lane: u32, x: Columns) {
  var all = octet(first + at, chunk, lane);
  let rows = opaque(8u);
  for (var j = 0u; j < rows; j++) {
    let w = span_of(first + at + j, chunk, lane);
    var each = vec4f();
    each.x = product(w, all, 0u, x.a);
    each.y = product(w, all, 0u, x.b);
    if (COLUMNS > 2u) {
      each.z = product(w, all, 0u, x.c);
      each.w = product(w, all, 0u, x.d);
    }
    let total = total_of_columns(each, lane);
    if (lane < COLUMNS) {
      sums[lane * LOT + at + j] += total;
    }
    all = moved_on(all);
  }
}

// In lane i: the sum of column i % COLUMNS over the lanes, in total8's order.
fn total_of_columns(v: vec4f, lane: u32) -> f32 {
  var sum = folded(v.x, v.y, lane, 1u);
  if (COLUMNS == 4u) {
    sum = folded(sum, folded(v.z, v.w, lane, 1u), lane, 2u);
  } else {
    sum += subgroupShuffleXor(sum, 2u);
  }
  return sum + subgroupShuffleXor(sum, 4u);
}
