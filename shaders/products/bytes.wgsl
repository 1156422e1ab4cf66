// products/bytes: Σ w x of 32 codes, w any signed byte. Products are cut one by one, which takes 1 from those whose lower half
// is negative; half of them are of −w and are taken off, so that this goes both ways: 2 of some 10,000 a block, where
// what x's rounding costs is 60.   uses products/pairs
alias Start = i32;
const PLUS = false;
const MIDDLE = 0.0;

fn factorsOf(w: Bytes32) -> Pairs {
  let pairs = leftOf(w.lo, w.hi);
  return Pairs(pairs.a, pairs.b, vec4u() - pairs.c, vec4u() - pairs.d);
}

fn upper(w: vec4u, x: vec4u) -> vec4i {
  return bitcast<vec4i>(w * x) >> vec4u(16u);
}

fn first16(w: Pairs, x: Pairs) -> i32 {
  return sum4(upper(w.a, x.a) + upper(w.b, x.b));
}

fn second16(w: Pairs, x: Pairs) -> i32 {
  return -sum4(upper(w.c, x.c) + upper(w.d, x.d));
}

fn startOf(_x: Pairs) -> Start {
  return 0; // each is whole already
}

fn halvesOf(first: vec4i, second: vec4i, _start: Start) -> Halves {
  return Halves(first, second);
}
