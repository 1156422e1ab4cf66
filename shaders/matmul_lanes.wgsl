// matmul_lanes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens, on a software adapter
//   x: [T, K] f32    W: rows FIRST … FIRST + ROWS of [N, K]    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of exactly one subgroup (LANES wide) per COLUMNS·LANES columns and SPANS·SPAN tokens; a lane owns COLUMNS.
// A processor's vector unit adds and multiplies fast, but a load per lane is slow (some 50 multiply-adds), be it from
// workgroup memory; so each lane loads one token's piece and shuffles hand it to the others. A shuffle takes the time of
// a multiply-add or two, hence eight columns to one where they fit. No loops over registers and no arrays of them: not
// every driver unrolls. Uses lanes/*, rows/*, weights/* and epilogue/*
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

// The pieces of W of four columns.
struct Four {
  a: Eight,
  b: Eight,
  c: Eight,
  d: Eight,
}

fn fourOf(row: u32, piece: u32) -> Four {
  let last = ROWS - 1u; // rows past the end read the last one and are not stored
  return Four(
    weight8(min(row, last), piece),
    weight8(min(row + 1u, last), piece),
    weight8(min(row + 2u, last), piece),
    weight8(min(row + 3u, last), piece),
  );
}

fn added4(sums: vec4f, w: Four, token: Eight) -> vec4f {
  return vec4f(
    dot8(sums.x, w.a, token),
    dot8(sums.y, w.b, token),
    dot8(sums.z, w.c, token),
    dot8(sums.w, w.d, token),
  );
}

// What this lane has summed, token by token. An array that is read by an index, in the end, has the compiler add in this
// order, and spill to an aligned stack; and as many copies of an epilogue would compile for seconds.
var<private> sums: array<Sums, 16>;

// sums[i] + the part of token `source` of the held ones.
fn addToken(i: u32, w: Columns, held: Eight, source: u32) {
  let token = Eight(subgroupShuffle(held.lo, source), subgroupShuffle(held.hi, source));
  sums[i] = addedAll(sums[i], w, token);
}

fn addSpan(first: u32, w: Columns, held: Eight) {
  addToken(first, w, held, 0u);
  addToken(first + 1u, w, held, 1u);
  addToken(first + 2u, w, held, 2u);
  addToken(first + 3u, w, held, 3u);
  if (SPAN == 8u) {
    addToken(first + 4u, w, held, 4u);
    addToken(first + 5u, w, held, 5u);
    addToken(first + 6u, w, held, 6u);
    addToken(first + 7u, w, held, 7u);
  }
}

@compute @workgroup_size(LANES)
fn matmul_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = COLUMNS * (group.y * LANES + lane);
  let t = SPANS * SPAN * group.x;
  let own = t + lane % SPAN;
  let last = step.tokens - 1u; // tokens past the end read the last one and are not stored
  for (var piece = 0u; piece < (K + 7u) / 8u; piece++) {
    let w = columnsOf(row, piece);
    addSpan(0u, w, x8(min(own, last), piece));
    if (SPANS == 2u) {
      addSpan(SPAN, w, x8(min(own + SPAN, last), piece));
    }
  }
  for (var i = 0u; i < min(SPANS * SPAN, step.tokens - t); i++) {
    storeOwn(t + i, row, sums[i]);
  }
}
