// matmul_bytes_lanes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens in bytes, on a software adapter
//   x: as quantise_rows leaves it    W: rows FIRST … FIRST + ROWS of [N, K], in blocks of 32
//   y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup (LANES wide) per 4·LANES columns and SPAN tokens; a lane owns 4 columns.
// As matmul_lanes, but a block of 32 at a time: half of the words go from lane to lane, two codes are multiplied at once,
// and a sum is touched once for 32 products. A processor takes twice as long for code that its first cache (32 KiB) does
// not hold, so the loop has no more columns and tokens than fit there. Uses rows/*, weights/*, products/*, bytes/take_* and
// epilogue/*
enable subgroups;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override SPAN: u32; // min(LANES, 8), tokens that one shuffled register serves

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;

// What a texel holds for several blocks of one row, of a chunk of 256 values of this lane's four columns: read at once, and
// kept as it is stored.
struct Chunk {
  a: Shared,
  b: Shared,
  c: Shared,
  d: Shared,
}

// Of one column: scales, and those bits of codes that lie above the others.
struct Shared {
  scales: Scales256,
  high: High,
}

fn chunkOf(row: u32, chunk: u32) -> Chunk {
  return Chunk(
    sharedOf(within(row), chunk),
    sharedOf(within(row + 1u), chunk),
    sharedOf(within(row + 2u), chunk),
    sharedOf(within(row + 3u), chunk),
  );
}

fn sharedOf(row: u32, chunk: u32) -> Shared {
  return Shared(scales256(row, chunk), high256(row, chunk));
}

// Rows past the end read the last one and are not stored.
fn within(row: u32) -> u32 {
  return min(row, ROWS - 1u);
}

// A block of four columns: codes, scales (of the second 16 codes, if HALVES), and what is added, if PLUS.
struct Four {
  a: Pairs,
  b: Pairs,
  c: Pairs,
  d: Pairs,
  scale: vec4f,
  second: vec4f,
  plus: vec4f,
}

fn codesOf(row: u32, block: u32, high: High) -> Pairs {
  return factorsOf(codes32(words_at(within(row), block, high)));
}

// A block of the chunk.
fn fourOf(row: u32, block: u32, s: Chunk) -> Four {
  let i = block % 8u;
  let a = factor_at(s.a.scales, i);
  let b = factor_at(s.b.scales, i);
  let c = factor_at(s.c.scales, i);
  let d = factor_at(s.d.scales, i);
  let scale = vec4f(a.scale.x, b.scale.x, c.scale.x, d.scale.x);
  let second = vec4f(a.scale.y, b.scale.y, c.scale.y, d.scale.y);
  let plus = vec4f(a.plus, b.plus, c.plus, d.plus) + MIDDLE * scale;
  return Four(
    codesOf(row, block, s.a.high),
    codesOf(row + 1u, block, s.b.high),
    codesOf(row + 2u, block, s.c.high),
    codesOf(row + 3u, block, s.d.high),
    scale,
    second,
    plus,
  );
}

// A block of a token.
struct Held {
  x: Pairs,
  factor: vec2f,
}

// What this lane has summed, token by token: an array for the reasons that matmul_lanes has.
var<private> sums: array<vec4f, 8>;

// sum + what the products of a token's codes are worth, of which `start` is the part that depends on x alone.
fn weighed(sum: vec4f, first: vec4i, second: vec4i, start: Start, w: Four, factor: vec2f) -> vec4f {
  let each = halvesOf(first, second, start);
  var products = vec4f(each.first + each.second) * w.scale;
  if (HALVES) {
    products = vec4f(each.first) * w.scale + vec4f(each.second) * w.second;
  }
  if (PLUS) {
    return sum + (products * factor.x + w.plus * factor.y);
  }
  return sum + products * factor.x;
}

// Adds the parts of tokens `source` and `source` + 1 of the held ones: two, so that a word of W is read once for both, and
// half a block at a time, which is what registers hold of their words.
fn addTwo(source: u32, w: Four, held: Held, start: Start) {
  let x = fromLane(held.x, source);
  let y = fromLane(held.x, source + 1u);
  let xa = first16(w.a, x);
  let ya = first16(w.a, y);
  let xb = first16(w.b, x);
  let yb = first16(w.b, y);
  let xc = first16(w.c, x);
  let yc = first16(w.c, y);
  let xd = first16(w.d, x);
  let yd = first16(w.d, y);
  let xa2 = second16(w.a, x);
  let ya2 = second16(w.a, y);
  let xb2 = second16(w.b, x);
  let yb2 = second16(w.b, y);
  let xc2 = second16(w.c, x);
  let yc2 = second16(w.c, y);
  let xd2 = second16(w.d, x);
  let yd2 = second16(w.d, y);
  let fx = subgroupShuffle(held.factor, source);
  let fy = subgroupShuffle(held.factor, source + 1u);
  let sx = subgroupShuffle(start, source);
  let sy = subgroupShuffle(start, source + 1u);
  let first = weighed(sums[source], vec4i(xa, xb, xc, xd), vec4i(xa2, xb2, xc2, xd2), sx, w, fx);
  let second = weighed(sums[source + 1u], vec4i(ya, yb, yc, yd), vec4i(ya2, yb2, yc2, yd2), sy, w, fy);
  sums[source] = first;
  sums[source + 1u] = second;
}

@compute @workgroup_size(LANES)
fn matmul_bytes_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = 4u * (group.y * LANES + lane);
  let t = SPAN * group.x;
  let own = t + lane % SPAN;
  let token = min(own, step.tokens - 1u); // those past the end read the last one and are not stored
  for (var chunk = 0u; chunk < (K + 255u) / 256u; chunk++) {
    let beside = chunkOf(row, chunk);
    // A bound that is a constant: with any other one the loop takes a fifth longer.
    let blocks = select(min(8u, K / 32u - 8u * chunk), 8u, K % 256u == 0u);
    for (var i = 0u; i < blocks; i++) {
      let block = 8u * chunk + i;
      let held = takeBlock(token, block);
      let start = startOf(held.x);
      let w = fourOf(row, block, beside);
      addTwo(0u, w, held, start);
      addTwo(2u, w, held, start);
      if (SPAN == 8u) {
        addTwo(4u, w, held, start);
        addTwo(6u, w, held, start);
      }
    }
  }
  // Stored in a loop: as many copies of an epilogue would compile for seconds.
  for (var i = 0u; i < min(SPAN, step.tokens - t); i++) {
    store4(t + i, row, sums[i]);
  }
}
