// products/pairs: 32 codes of W and of x for processors, which multiply words faster than bytes: two codes to a word, so that
// of (w0 + 2¹⁶ w1) (x1 + 2¹⁶ x0) the upper half is w0 x0 + w1 x1. The lower half, w0 x1, is what products/* must deal with.
//   Of a block's eight words of codes, those of lo come first.
struct Pairs {
  a: vec4u,
  b: vec4u,
  c: vec4u,
  d: vec4u,
}

// Of each word, the signed bytes that lie at bits `low` and `high`, as one sum.
fn pair4(words: vec4u, low: u32, high: u32) -> vec4u {
  let first = bitcast<vec4i>(words << vec4u(24u - low)) >> vec4u(24u);
  let second = bitcast<vec4i>(words << vec4u(24u - high)) >> vec4u(24u);
  return bitcast<vec4u>(first) + (bitcast<vec4u>(second) << vec4u(16u));
}

// The factors of W.
fn leftOf(lo: vec4u, hi: vec4u) -> Pairs {
  return Pairs(pair4(lo, 0u, 8u), pair4(lo, 16u, 24u), pair4(hi, 0u, 8u), pair4(hi, 16u, 24u));
}

// Those of x.
fn rightOf(lo: vec4u, hi: vec4u) -> Pairs {
  return Pairs(pair4(lo, 8u, 0u), pair4(lo, 24u, 16u), pair4(hi, 8u, 0u), pair4(hi, 24u, 16u));
}

// Those of lane `source`.
fn fromLane(x: Pairs, source: u32) -> Pairs {
  return Pairs(
    subgroupShuffle(x.a, source),
    subgroupShuffle(x.b, source),
    subgroupShuffle(x.c, source),
    subgroupShuffle(x.d, source),
  );
}

fn sum4(v: vec4i) -> i32 {
  return (v.x + v.y) + (v.z + v.w);
}
