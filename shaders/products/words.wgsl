// products/words: 32 codes of W and of x as products/pairs has them, two to a word: of (w0 + 2¹⁶ w1) (x1 + 2¹⁶ x0) the upper
// half is w0 x0 + w1 x1, the lower one w0 x1. For a mat-vec, which unpacks a code of W once and not for sixteen tokens:
// codes are taken as what is not negative, so that one mask unpacks two of them, and what that is too much is taken off
// modulo 2³², before the lower half is rounded away: by a start that depends on x alone.
//   Of a piece of 8 the words hold the codes 0 and 2, 1 and 3, 4 and 6, 5 and 7.
struct Pairs {
  a: vec4u,
  b: vec4u,
  c: vec4u,
  d: vec4u,
}

fn pairs_of(lo: vec4u, hi: vec4u) -> Pairs {
  let mask = vec4u(0x00ff00ffu);
  return Pairs(lo & mask, (lo >> vec4u(8u)) & mask, hi & mask, (hi >> vec4u(8u)) & mask);
}

// What rounds the lower half away: added before the upper half is taken.
const HALF = 0x8000u;
// ZERO in both halves of a word.
const ZEROS = u32(ZERO) * 0x10001u;

fn upper4(v: vec4u) -> vec4i {
  return bitcast<vec4i>(v) >> vec4u(16u);
}

fn upper2(v: vec2u) -> vec2i {
  return bitcast<vec2i>(v) >> vec2u(16u);
}
