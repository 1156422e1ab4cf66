// units/blocks: of a row matvec takes a block of 32 codes at a time, against x in bytes. As floats, codes take a card with fast
// memory longer than reading them. Products of a block are exact integers.   uses rows/planes
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
requires packed_4x8_integer_dot_product;

@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

alias Unit = Coded;
alias Gains = vec4f; // x has been normed
const NORMED = false;

// A block of x; if HALVES, also what its first and its second 16 codes add up to.
struct Held {
  codes: Bytes32,
  factor: vec2f,
  sums: vec2i,
}

// Of a row.
fn units() -> u32 {
  return K / 32u;
}

fn unitOf(row: u32, i: u32) -> Unit {
  return block32(row, i);
}

fn gainsOf(i: u32) -> Gains {
  return Gains();
}

fn scaleOf(squares: f32) -> f32 {
  return 1.0;
}

// One behind the other: devices add to what there is as they multiply.
fn dots2(sum: i32, x: vec2u, w: vec2u) -> i32 {
  return sum + dot4I8Packed(x.x, w.x) + dot4I8Packed(x.y, w.y);
}

fn dots32(x: Bytes32, w: Bytes32) -> i32 {
  let lo = dots2(dots2(0, x.lo.xy, w.lo.xy), x.lo.zw, w.lo.zw);
  return dots2(dots2(lo, x.hi.xy, w.hi.xy), x.hi.zw, w.hi.zw);
}

// Of the first and of the second 16 codes.
fn dots16(sums: vec2i, x: Bytes32, w: Bytes32) -> vec2i {
  let first = dots2(dots2(sums.x, x.lo.xy, w.lo.xy), x.hi.xy, w.hi.xy);
  let second = dots2(dots2(sums.y, x.lo.zw, w.lo.zw), x.hi.zw, w.hi.zw);
  return vec2i(first, second);
}

fn heldAt(at: u32) -> Held {
  let x = Bytes32(codes[2u * at], codes[2u * at + 1u]);
  var sums = vec2i();
  if (HALVES) {
    sums = dots16(sums, x, Bytes32(vec4u(0x01010101u), vec4u(0x01010101u)));
  }
  return Held(x, factors[at], sums);
}

// sum + what a block of a row adds to it; multiply-adds are named, so that they are the same for every token.
fn weighed(sum: f32, w: Unit, x: Held) -> f32 {
  let row = Bytes32(w.lo, w.hi);
  if (!HALVES) {
    return fma(w.scale.x * x.factor.x, f32(dots32(x.codes, row)), fma(w.plus.x, x.factor.y, sum));
  }
  // What is added unless MINIMA is taken off the codes: that needs no registers for it.
  let dots = vec2f(dots16(-i32(ZERO) * x.sums, x.codes, row));
  let scale = w.scale * x.factor.x;
  let scaled = fma(scale.y, dots.y, fma(scale.x, dots.x, sum));
  if (!MINIMA) {
    return scaled;
  }
  let plus = w.plus * x.factor.x;
  return fma(plus.y, f32(x.sums.y), fma(plus.x, f32(x.sums.x), scaled));
}

fn added(r: Running, w: Rows, gains: Gains, t: u32, i: u32) -> Running {
  let x = heldAt(t * (K / 32u) + i);
  let s = r.sums;
  return Running(vec4f(weighed(s.x, w.a, x), weighed(s.y, w.b, x), weighed(s.z, w.c, x), weighed(s.w, w.d, x)), 0.0);
}
