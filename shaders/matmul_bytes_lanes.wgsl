// matmul_bytes_lanes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens in bytes, on a software adapter
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
//   W: rows FIRST … FIRST + ROWS of [N, K], in blocks of 32    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup (LANES wide) per 8·LANES columns and SPANS·SPAN tokens; a lane owns 8 columns.
// As matmul_lanes, but a block of 32 at a time: half of the words go from lane to lane, two codes are multiplied at once,
// and a sum is touched once for 32 products. Uses rows/*, weights/*, products/* and epilogue/*
enable subgroups;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override SPAN: u32;  // min(LANES, 8), tokens that one shuffled register serves
override SPANS: u32; // 2, or 1 where a run never has more tokens than one register serves

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

// A block of four columns.
struct Four {
  a: Pairs,
  b: Pairs,
  c: Pairs,
  d: Pairs,
  scale: vec4f,
  plus: vec4f,
}

fn fourOf(row: u32, block: u32) -> Four {
  let last = ROWS - 1u; // rows past the end read the last one and are not stored
  let a = block32(min(row, last), block);
  let b = block32(min(row + 1u, last), block);
  let c = block32(min(row + 2u, last), block);
  let d = block32(min(row + 3u, last), block);
  let scale = vec4f(a.scale.x, b.scale.x, c.scale.x, d.scale.x);
  let plus = vec4f(a.plus.x, b.plus.x, c.plus.x, d.plus.x);
  return Four(factorsOf(a), factorsOf(b), factorsOf(c), factorsOf(d), scale, plus);
}

fn added4(sums: vec4f, w: Four, x: Pairs, factor: vec2f) -> vec4f {
  let products = vec4f(product32(w.a, x), product32(w.b, x), product32(w.c, x), product32(w.d, x));
  return sums + (products * w.scale * factor.x + w.plus * factor.y);
}

// This lane's columns, and its sums for a token.
struct Columns {
  left: Four,
  right: Four,
}

// A block of a token.
struct Held {
  x: Pairs,
  factors: vec2f,
}

fn heldOf(t: u32, block: u32) -> Held {
  let at = min(t, step.tokens - 1u) * (K / 32u) + block;
  return Held(rightOf(codes[2u * at], codes[2u * at + 1u]), factors[at]);
}

// sums + the part of token `source` of the held ones.
fn added(sums: Sums, w: Columns, held: Held, source: u32) -> Sums {
  let x = fromLane(held.x, source);
  let factor = subgroupShuffle(held.factors, source);
  return Sums(added4(sums.left, w.left, x, factor), added4(sums.right, w.right, x, factor));
}

struct Sums {
  left: vec4f,
  right: vec4f,
}

// Sums of a span of tokens.
struct Span {
  a: Sums,
  b: Sums,
  c: Sums,
  d: Sums,
  e: Sums,
  f: Sums,
  g: Sums,
  h: Sums,
}

fn addedSpan(sums: Span, w: Columns, held: Held) -> Span {
  var s = sums;
  s.a = added(s.a, w, held, 0u);
  s.b = added(s.b, w, held, 1u);
  s.c = added(s.c, w, held, 2u);
  s.d = added(s.d, w, held, 3u);
  if (SPAN == 8u) {
    s.e = added(s.e, w, held, 4u);
    s.f = added(s.f, w, held, 5u);
    s.g = added(s.g, w, held, 6u);
    s.h = added(s.h, w, held, 7u);
  }
  return s;
}

// What the lanes have summed, to be stored in a loop: as many copies of an epilogue would compile for seconds.
var<workgroup> results: array<vec4f, 2u * SPANS * SPAN * LANES>;

fn keep(at: u32, sums: Sums) {
  results[at] = sums.left;
  results[SPANS * SPAN * LANES + at] = sums.right;
}

fn keepSpan(at: u32, s: Span) {
  keep(at, s.a);
  keep(at + LANES, s.b);
  keep(at + 2u * LANES, s.c);
  keep(at + 3u * LANES, s.d);
  if (SPAN == 8u) {
    keep(at + 4u * LANES, s.e);
    keep(at + 5u * LANES, s.f);
    keep(at + 6u * LANES, s.g);
    keep(at + 7u * LANES, s.h);
  }
}

@compute @workgroup_size(LANES)
fn matmul_bytes_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = 8u * (group.y * LANES + lane);
  let t = SPANS * SPAN * group.x;
  let own = t + lane % SPAN;
  var first = Span();
  var second = Span();
  for (var block = 0u; block < K / 32u; block++) {
    let w = Columns(fourOf(row, block), fourOf(row + 4u, block));
    first = addedSpan(first, w, heldOf(own, block));
    if (SPANS == 2u) {
      second = addedSpan(second, w, heldOf(own + SPAN, block));
    }
  }
  keepSpan(lane, first);
  if (SPANS == 2u) {
    keepSpan(SPAN * LANES + lane, second);
  }
  for (var i = 0u; i < min(SPANS * SPAN, step.tokens - t); i++) {
    let at = i * LANES + lane;
    store4(t + i, row, results[at]);
    store4(t + i, row + 4u, results[SPANS * SPAN * LANES + at]);
  }
}
