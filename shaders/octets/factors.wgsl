// octets/factors: eight rows of planes. Each lane reads the factors of one row's eight blocks; they are then handed on, so
// that each has those of its own block in all eight rows.   uses columns/*
alias Octet = Factors;

alias Row = Words32;

// Past the row's end it is the last block again, which meets an input of 0.
fn row_of(row: u32, chunk: u32, lane: u32) -> Row {
  return words32(row, min(chunk * LANES + lane, K / 32u - 1u));
}

// All rows are read before the first one is multiplied.
fn multiply_eight(row: u32, chunk: u32, lane: u32, x: Columns) {
  let all = octet(row, chunk, lane);
  let a = row_of(row, chunk, lane);
  let b = row_of(row + 1u, chunk, lane);
  let c = row_of(row + 2u, chunk, lane);
  let d = row_of(row + 3u, chunk, lane);
  let e = row_of(row + 4u, chunk, lane);
  let f = row_of(row + 5u, chunk, lane);
  let g = row_of(row + 6u, chunk, lane);
  let h = row_of(row + 7u, chunk, lane);
  multiply(a, all, 0u, x);
  multiply(b, all, 1u, x);
  multiply(c, all, 2u, x);
  multiply(d, all, 3u, x);
  multiply(e, all, 4u, x);
  multiply(f, all, 5u, x);
  multiply(g, all, 6u, x);
  multiply(h, all, 7u, x);
}

fn octet(row: u32, chunk: u32, lane: u32) -> Octet {
  let rows = factors256(row + lane, chunk);
  var all = Factors();
  all.first = handed_on(rows.first, chunk, lane);
  if (HALVES) {
    all.second = handed_on(rows.second, chunk, lane);
  }
  if (MINIMA) {
    all.firstPlus = handed_on(rows.firstPlus, chunk, lane);
  }
  if (MINIMA && HALVES) {
    all.secondPlus = handed_on(rows.secondPlus, chunk, lane);
  }
  return all;
}

// What lies behind a row's last factor may read as no number, which an input of 0 does not make 0.
fn handed_on(v: Eight, chunk: u32, lane: u32) -> Eight {
  if (K % 256u == 0u) {
    return transposed8(v, lane);
  }
  let left = K / 32u - 8u * chunk;
  let lo = select(vec4f(), v.lo, vec4u(0u, 1u, 2u, 3u) < vec4u(left));
  let hi = select(vec4f(), v.hi, vec4u(4u, 5u, 6u, 7u) < vec4u(left));
  return transposed8(Eight(lo, hi), lane);
}

fn of_row(values: Eight, j: u32) -> f32 {
  return select(values.lo, values.hi, j > 3u)[j % 4u];
}

// Of two values in every lane: lanes whose bit is set get both of their partner's and their own second one, the others
// both first ones. `bit` is 1, 2 or 4.
fn swapped(a: f32, b: f32, lane: u32, bit: u32) -> vec2f {
  let upper = (lane & bit) != 0u;
  let got = of_partner(select(b, a, upper), bit);
  return vec2f(select(a, got, upper), select(got, b, upper));
}

// Value i of lane l becomes value l of lane i.
fn transposed8(v: Eight, lane: u32) -> Eight {
  let a = swapped(v.lo.x, v.lo.y, lane, 1u);
  let b = swapped(v.lo.z, v.lo.w, lane, 1u);
  let c = swapped(v.hi.x, v.hi.y, lane, 1u);
  let d = swapped(v.hi.z, v.hi.w, lane, 1u);
  let e = swapped(a.x, b.x, lane, 2u);
  let f = swapped(a.y, b.y, lane, 2u);
  let g = swapped(c.x, d.x, lane, 2u);
  let h = swapped(c.y, d.y, lane, 2u);
  let i = swapped(e.x, g.x, lane, 4u);
  let j = swapped(f.x, h.x, lane, 4u);
  let k = swapped(e.y, g.y, lane, 4u);
  let l = swapped(f.y, h.y, lane, 4u);
  return Eight(vec4f(i.x, j.x, k.x, l.x), vec4f(i.y, j.y, k.y, l.y));
}

// What a block adds to row j's sum: codes times x of its first and second 16 values, weighed, and the constants beside
// the codes times Σ x; both all in .x unless HALVES. Multiply-adds are named, or each place that this is inlined in
// would choose its own.
fn weighed(sums: vec2f, x: vec2f, all: Octet, j: u32) -> f32 {
  if (HALVES && MINIMA) {
    let plus = fma(of_row(all.firstPlus, j), x.x, of_row(all.secondPlus, j) * x.y);
    return fma(of_row(all.first, j), sums.x, fma(of_row(all.second, j), sums.y, plus));
  }
  if (HALVES) {
    return fma(of_row(all.first, j), sums.x, of_row(all.second, j) * sums.y);
  }
  if (MINIMA) {
    return fma(of_row(all.first, j), sums.x, of_row(all.firstPlus, j) * x.x);
  }
  return of_row(all.first, j) * sums.x;
}
