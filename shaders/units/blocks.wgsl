// units/blocks: of a row matvec takes a block of 32 codes at a time, against x in bytes. As floats, codes take a card with fast
// memory longer than reading them. Products of a block are exact integers.   uses rows/planes
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
requires packed_4x8_integer_dot_product;

@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

alias Unit = Coded;
alias Gains = vec4f; // x has been normed
const NORMED = false;

// A block of x.
struct Held {
  lo: vec4u,
  hi: vec4u,
  factor: vec2f,
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
fn dots4(sum: i32, x: vec4u, w: vec4u) -> i32 {
  return sum + dot4I8Packed(x.x, w.x) + dot4I8Packed(x.y, w.y) + dot4I8Packed(x.z, w.z) + dot4I8Packed(x.w, w.w);
}

// sum + what a block of a row adds to it; multiply-adds are named, so that they are the same for every token.
fn weighed(sum: f32, w: Unit, x: Held) -> f32 {
  let dots = f32(dots4(dots4(0, x.lo, w.lo), x.hi, w.hi));
  return fma(w.scale.x * x.factor.x, dots, fma(w.plus.x, x.factor.y, sum));
}

fn added(r: Running, w: Rows, gains: Gains, t: u32, i: u32) -> Running {
  let at = t * (K / 32u) + i;
  let x = Held(codes[2u * at], codes[2u * at + 1u], factors[at]);
  let s = r.sums;
  return Running(vec4f(weighed(s.x, w.a, x), weighed(s.y, w.b, x), weighed(s.z, w.c, x), weighed(s.w, w.d, x)), 0.0);
}
