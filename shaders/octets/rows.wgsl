// octets/rows: eight rows of planes, of which each lane has one: a chunk's codes, eight blocks of them, and their factors, as
// they lie in its row.   uses chunks/*, columns/*
struct Words256 {
  a: Words32,
  b: Words32,
  c: Words32,
  d: Words32,
  e: Words32,
  f: Words32,
  g: Words32,
  h: Words32,
}

// Of a row a chunk's codes.
fn words_of(row: u32, chunk: u32) -> Words256 {
  if (K % 256u == 0u) {
    return words256(row, chunk);
  }
  let first = 8u * chunk;
  return Words256(
    words_within(row, first),
    words_within(row, first + 1u),
    words_within(row, first + 2u),
    words_within(row, first + 3u),
    words_within(row, first + 4u),
    words_within(row, first + 5u),
    words_within(row, first + 6u),
    words_within(row, first + 7u),
  );
}

// Past the row's end it is the last block again, which meets an input of 0.
fn words_within(row: u32, block: u32) -> Words32 {
  return words32(row, min(block, K / 32u - 1u));
}

// What lies behind a row's last factor may read as no number, which an input of 0 does not make 0.
fn factors_within(v: Eight, left: u32) -> Eight {
  let lo = select(vec4f(), v.lo, vec4u(0u, 1u, 2u, 3u) < vec4u(left));
  let hi = select(vec4f(), v.hi, vec4u(4u, 5u, 6u, 7u) < vec4u(left));
  return Eight(lo, hi);
}

fn factors_of(row: u32, chunk: u32) -> Factors {
  let all = factors256(scales256(row, chunk));
  if (K % 256u == 0u) {
    return all;
  }
  let left = K / 32u - 8u * chunk;
  return Factors(
    factors_within(all.first, left),
    factors_within(all.second, left),
    factors_within(all.firstPlus, left),
    factors_within(all.secondPlus, left),
  );
}

fn of_block(values: Eight, j: u32) -> f32 {
  return select(values.lo, values.hi, j > 3u)[j % 4u];
}

// sum + what a chunk's block j adds to it: codes times x of its first and second 16 values, weighed, and the constants beside
// the codes times Σ x; both all in .x unless HALVES. Multiply-adds are named, or each place that this is inlined in would
// choose its own.
fn weighed(sum: f32, parts: vec2f, x: vec2f, all: Factors, j: u32) -> f32 {
  var result = sum;
  if (MINIMA) {
    result = fma(of_block(all.firstPlus, j), x.x, result);
  }
  if (MINIMA && HALVES) {
    result = fma(of_block(all.secondPlus, j), x.y, result);
  }
  result = fma(of_block(all.first, j), parts.x, result);
  if (HALVES) {
    result = fma(of_block(all.second, j), parts.y, result);
  }
  return result;
}

// A chunk of x, block by block, each the same in every lane.
struct Blocks {
  a: Held,
  b: Held,
  c: Held,
  d: Held,
  e: Held,
  f: Held,
  g: Held,
  h: Held,
}

fn blocks_of(own: Held) -> Blocks {
  return Blocks(
    held_by(own, 0u),
    held_by(own, 1u),
    held_by(own, 2u),
    held_by(own, 3u),
    held_by(own, 4u),
    held_by(own, 5u),
    held_by(own, 6u),
    held_by(own, 7u),
  );
}

// An array that is read somewhere by an index that is not known has llvmpipe's compiler align the stack, where most of x lies.
var<private> kept: array<f32, 2>;

fn keep(lane: u32) {
  if (step.tokens == 0u) { // never
    sums[lane] = kept[lane];
  }
}
