// matmul_bytes_lanes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens in bytes, on a software adapter
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
//   W: rows FIRST … FIRST + ROWS of [N, K], in blocks of 32    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup (LANES wide) per 4·LANES columns and SPANS·SPAN tokens; a lane owns 4 columns.
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

// A block of this lane's four columns.
struct Columns {
  a: Pairs,
  b: Pairs,
  c: Pairs,
  d: Pairs,
  scale: vec4f,
  plus: vec4f,
}

fn columnsOf(row: u32, block: u32) -> Columns {
  let last = ROWS - 1u; // rows past the end read the last one and are not stored
  let a = block32(min(row, last), block);
  let b = block32(min(row + 1u, last), block);
  let c = block32(min(row + 2u, last), block);
  let d = block32(min(row + 3u, last), block);
  let scale = vec4f(a.scale.x, b.scale.x, c.scale.x, d.scale.x);
  let plus = vec4f(a.plus.x, b.plus.x, c.plus.x, d.plus.x);
  return Columns(factorsOf(a), factorsOf(b), factorsOf(c), factorsOf(d), scale, plus);
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
fn added(sums: vec4f, w: Columns, held: Held, source: u32) -> vec4f {
  let x = fromLane(held.x, source);
  let factor = subgroupShuffle(held.factors, source);
  let products = vec4f(product32(w.a, x), product32(w.b, x), product32(w.c, x), product32(w.d, x));
  return sums + (products * w.scale * factor.x + w.plus * factor.y);
}

// What the lanes have summed, to be stored in a loop: sixteen copies of an epilogue would compile for seconds.
var<workgroup> results: array<vec4f, SPANS * SPAN * LANES>;

fn keep4(at: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
  results[at] = a;
  results[at + LANES] = b;
  results[at + 2u * LANES] = c;
  results[at + 3u * LANES] = d;
}

@compute @workgroup_size(LANES)
fn matmul_bytes_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = 4u * (group.y * LANES + lane);
  let t = SPANS * SPAN * group.x;
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var a4 = vec4f();
  var a5 = vec4f();
  var a6 = vec4f();
  var a7 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  var b4 = vec4f();
  var b5 = vec4f();
  var b6 = vec4f();
  var b7 = vec4f();
  for (var block = 0u; block < K / 32u; block++) {
    let w = columnsOf(row, block);
    let first = heldOf(t + lane % SPAN, block);
    a0 = added(a0, w, first, 0u);
    a1 = added(a1, w, first, 1u);
    a2 = added(a2, w, first, 2u);
    a3 = added(a3, w, first, 3u);
    if (SPAN == 8u) {
      a4 = added(a4, w, first, 4u);
      a5 = added(a5, w, first, 5u);
      a6 = added(a6, w, first, 6u);
      a7 = added(a7, w, first, 7u);
    }
    if (SPANS == 2u) {
      let second = heldOf(t + SPAN + lane % SPAN, block);
      b0 = added(b0, w, second, 0u);
      b1 = added(b1, w, second, 1u);
      b2 = added(b2, w, second, 2u);
      b3 = added(b3, w, second, 3u);
      if (SPAN == 8u) {
        b4 = added(b4, w, second, 4u);
        b5 = added(b5, w, second, 5u);
        b6 = added(b6, w, second, 6u);
        b7 = added(b7, w, second, 7u);
      }
    }
  }
  keep4(lane, a0, a1, a2, a3);
  if (SPAN == 8u) {
    keep4(4u * LANES + lane, a4, a5, a6, a7);
  }
  if (SPANS == 2u) {
    keep4(SPAN * LANES + lane, b0, b1, b2, b3);
    if (SPAN == 8u) {
      keep4(12u * LANES + lane, b4, b5, b6, b7);
    }
  }
  for (var i = 0u; i < min(SPANS * SPAN, step.tokens - t); i++) {
    store4(t + i, row, results[i * LANES + lane]);
  }
}
