// octets/floats: eight rows of floats, which need nothing but their values.   uses spans/pieces and columns/*
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

// A row is read before the one ahead of it is multiplied: then both go on at once, and more would not fit in registers.
fn multiply_eight(row: u32, chunk: u32, lane: u32, x: Columns) {
  let a = row_of(row, chunk, lane);
  let b = row_of(row + 1u, chunk, lane);
  multiply(a, 0u, x);
  let c = row_of(row + 2u, chunk, lane);
  multiply(b, 1u, x);
  let d = row_of(row + 3u, chunk, lane);
  multiply(c, 2u, x);
  let e = row_of(row + 4u, chunk, lane);
  multiply(d, 3u, x);
  let f = row_of(row + 5u, chunk, lane);
  multiply(e, 4u, x);
  let g = row_of(row + 6u, chunk, lane);
  multiply(f, 5u, x);
  let h = row_of(row + 7u, chunk, lane);
  multiply(g, 6u, x);
  multiply(h, 7u, x);
}

// Of eight rows a lane's parts of the products, token by token. An array that is read somewhere by an index that is not known
// (below) is kept in memory by llvmpipe's compiler, and what is stored in it is made before it is: else all products are put
// off until they are added up, and everything that was read for them goes to the stack and back.
var<private> parts: array<f32, 32>;

fn parts_of(first: u32) -> Eight {
  return Eight(
    vec4f(parts[first], parts[first + 1u], parts[first + 2u], parts[first + 3u]),
    vec4f(parts[first + 4u], parts[first + 5u], parts[first + 6u], parts[first + 7u]),
  );
}

// The value of the lane whose number differs in `bit`: 1, 2 or 4. A swap within four lanes is no more than that.
fn of_partner(value: f32, bit: u32) -> f32 {
  if (bit == 1u) {
    return quadSwapX(value);
  }
  if (bit == 2u) {
    return quadSwapY(value);
  }
  return subgroupShuffleXor(value, 4u);
}

// Of two values in every lane, half of the sum over two lanes: a's in lanes whose bit is not set, b's in the others.
fn folded(a: f32, b: f32, lane: u32, bit: u32) -> f32 {
  let upper = (lane & bit) != 0u;
  return select(a, b, upper) + of_partner(select(b, a, upper), bit);
}

// In lane i: the sum of value i over the lanes.
fn total8(v: Eight, lane: u32) -> f32 {
  let low = folded(folded(v.lo.x, v.lo.y, lane, 1u), folded(v.lo.z, v.lo.w, lane, 1u), lane, 2u);
  let high = folded(folded(v.hi.x, v.hi.y, lane, 1u), folded(v.hi.z, v.hi.w, lane, 1u), lane, 2u);
  return folded(low, high, lane, 4u);
}

fn keep(lane: u32) {
  if (step.tokens == 0u) { // never
    sums[lane] = parts[lane];
  }
}
