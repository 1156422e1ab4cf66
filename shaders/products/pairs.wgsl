// products/pairs: 32 codes of W and of x for processors, which multiply words faster than bytes: two codes to a word, so that
// of (w0 + 2¹⁶ w1) (x1 + 2¹⁶ x0) the upper half is w0 x0 + w1 x1. The lower half, w0 x1, is what products/* must deal with.
//   Of a block's eight words of codes, those of lo come first. Of a word the codes 0 and 2 are a pair, and 1 and 3.
struct Pairs {
  a: vec4u,
  b: vec4u,
  c: vec4u,
  d: vec4u,
}

// Of each word the bytes 0 and 2, and 1 and 3, as they are.
fn evenBytes(words: vec4u) -> vec4u {
  return words & vec4u(0x00ff00ffu);
}

fn oddBytes(words: vec4u) -> vec4u {
  return (words >> vec4u(8u)) & vec4u(0x00ff00ffu);
}

// Signed bytes as what is not negative; and what pairs of such are worth: low + 2¹⁶ high.
fn raised(words: vec4u) -> vec4u {
  return words ^ vec4u(0x80808080u);
}

fn lowered(pairs: vec4u) -> vec4u {
  return pairs - vec4u(0x00800080u);
}

fn swapped(pairs: vec4u) -> vec4u {
  return (pairs << vec4u(16u)) | (pairs >> vec4u(16u));
}

// The factors of W, signed.
fn leftOf(lo: vec4u, hi: vec4u) -> Pairs {
  let a = raised(lo);
  let c = raised(hi);
  return Pairs(lowered(evenBytes(a)), lowered(oddBytes(a)), lowered(evenBytes(c)), lowered(oddBytes(c)));
}

// Those of x.
fn rightOf(lo: vec4u, hi: vec4u) -> Pairs {
  let a = raised(lo);
  let c = raised(hi);
  return Pairs(
    lowered(swapped(evenBytes(a))),
    lowered(swapped(oddBytes(a))),
    lowered(swapped(evenBytes(c))),
    lowered(swapped(oddBytes(c))),
  );
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

// Sums of four columns: of the first and of the second 16 codes. Only both together are right where they were cut as one.
struct Halves {
  first: vec4i,
  second: vec4i,
}
