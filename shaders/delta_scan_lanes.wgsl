// delta_scan_lanes: delta_scan for a software adapter. Per chunk, with the decays that delta_chunk made:
//   X = V − e^G·K S;  U = M beta X;  o = e^G·Q S + P U;  S ← e^(G_31)·S + Kᵀ e^(G_31−G) U
//   qkv: [T, C]    inner: [chunks, Nv, 64, 32]    factors: [chunks, Nv, 32, 4]
//   memory: [slots, STATE]: the convolution's window [4, C], then S [Nv, Dk, Dv], updated in place    o: [T, Nv·Dv]
//   one workgroup of exactly one subgroup (LANES wide) per (tile of 4·LANES columns of S, head); a lane owns four
//   columns of S, X, U and o, so nothing waits for another lane; uses steps/sequence, delta_rows
// Where a load costs some 50 multiply-adds, each lane loads one row's piece and shuffles hand it to the others.
enable subgroups;

override LANES: u32;
override STATE: u32;   // vec4s of a slot's memory
override SPAN: u32;    // min(LANES, 8), rows that one shuffled register serves
override TILE: u32 = DK * LANES;
override ROW_TILE: u32 = CHUNK * LANES;

@group(0) @binding(1) var<storage, read> inner: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> memory: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read> step: Step;

var<workgroup> state: array<vec4f, TILE>;
var<workgroup> X: array<vec4f, ROW_TILE>;
var<workgroup> U: array<vec4f, ROW_TILE>;

// Four rows of four columns.
struct Square {
  a: vec4f,
  b: vec4f,
  c: vec4f,
  d: vec4f,
}

// Where this lane works; a lane beyond the last column works on the last and stores nothing.
struct Place {
  lane: u32,
  head: u32,
  column: u32,
  inside: bool,
}

@compute @workgroup_size(LANES)
fn delta_scan_lanes(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let column = group.x * LANES + lane;
  let base = step.slot * STATE + C;
  let p = Place(lane, group.y, min(column, VALUE_QUADS - 1u), column < VALUE_QUADS);
  for (var i = 0u; i < 4u * keyQuads(); i++) { state[i * LANES + lane] = memory[base + (p.head * DK + i) * VALUE_QUADS + p.column]; }
  for (var chunk = 0u; chunk * CHUNK < step.tokens; chunk++) {
    let at = (chunk * VALUE_HEADS + p.head) * CHUNK;
    let token = chunk * CHUNK;
    let rows = rowsFrom(token);
    for (var i = 0u; i < rows; i += SPAN) { againstState(p, token + i, at + i, i); }
    for (var i = 0u; i < rows; i += SPAN) { solve(p, at, i); }
    for (var i = 0u; i < rows; i += SPAN) { addInner(p, token + i, at, i); }
    for (var n = 0u; n < keyQuads(); n += 2u) { advance(p, token, rows, at, n); }
  }
  if (!p.inside) { return; }
  for (var i = 0u; i < 4u * keyQuads(); i++) { memory[base + (p.head * DK + i) * VALUE_QUADS + p.column] = state[i * LANES + lane]; }
}

// sums + rows first … first + 3 of those held, times the four rows m
fn add(sums: Square, held: vec4f, first: u32, m: Square) -> Square {
  return Square(
    addRow(sums.a, subgroupShuffle(held, first), m),
    addRow(sums.b, subgroupShuffle(held, first + 1u), m),
    addRow(sums.c, subgroupShuffle(held, first + 2u), m),
    addRow(sums.d, subgroupShuffle(held, first + 3u), m),
  );
}

fn addRow(sum: vec4f, row: vec4f, m: Square) -> vec4f {
  return sum + row.x * m.a + row.y * m.b + row.z * m.c + row.w * m.d;
}

// X = V − e^G·K S, and e^G·Q S into o
fn againstState(p: Place, token: u32, at: u32, i: u32) {
  let row = rowOf(token + p.lane % SPAN);
  var k0 = Square();
  var k1 = Square();
  var q0 = Square();
  var q1 = Square();
  for (var n = 0u; n < keyQuads(); n++) {
    let source = 4u * n * LANES + p.lane;
    let m = Square(state[source], state[source + LANES], state[source + 2u * LANES], state[source + 3u * LANES]);
    let k = qkv[row + keyAt(p.head) + n];
    let q = qkv[row + queryAt(p.head) + n];
    k0 = add(k0, k, 0u, m);
    q0 = add(q0, q, 0u, m);
    if (SPAN == 8u) {
      k1 = add(k1, k, 4u, m);
      q1 = add(q1, q, 4u, m);
    }
  }
  subtract(p, token, at, i, k0, q0);
  if (SPAN == 8u) { subtract(p, token + 4u, at + 4u, i + 4u, k1, q1); }
}

fn subtract(p: Place, token: u32, at: u32, i: u32, k: Square, q: Square) {
  subtractRow(p, token, at, i, k.a, q.a);
  subtractRow(p, token + 1u, at + 1u, i + 1u, k.b, q.b);
  subtractRow(p, token + 2u, at + 2u, i + 2u, k.c, q.c);
  subtractRow(p, token + 3u, at + 3u, i + 3u, k.d, q.d);
}

fn subtractRow(p: Place, token: u32, at: u32, i: u32, k: vec4f, q: vec4f) {
  let factor = factors[at];
  X[i * LANES + p.lane] = qkv[rowOf(token) + valueAt(p.head) + p.column] - factor.x * k;
  if (p.inside && token < step.tokens) { o[(token * VALUE_HEADS + p.head) * VALUE_QUADS + p.column] = factor.y * q; }
}

// U = M beta X
fn solve(p: Place, at: u32, i: u32) {
  var u0 = Square();
  var u1 = Square();
  for (var j = 0u; j < i + SPAN; j += 4u) {
    let m = inner[((2u * at + i + p.lane % SPAN) * CHUNK + j) / 4u];
    let source = j * LANES + p.lane;
    let x = Square(X[source], X[source + LANES], X[source + 2u * LANES], X[source + 3u * LANES]);
    u0 = add(u0, m, 0u, x);
    if (SPAN == 8u) { u1 = add(u1, m, 4u, x); }
  }
  store4(p, i, u0);
  if (SPAN == 8u) { store4(p, i + 4u, u1); }
}

fn store4(p: Place, i: u32, u: Square) {
  let to = i * LANES + p.lane;
  U[to] = u.a;
  U[to + LANES] = u.b;
  U[to + 2u * LANES] = u.c;
  U[to + 3u * LANES] = u.d;
}

// o += P U
fn addInner(p: Place, token: u32, at: u32, i: u32) {
  var o0 = Square();
  var o1 = Square();
  for (var j = 0u; j < i + SPAN; j += 4u) {
    let m = inner[((2u * at + CHUNK + i + p.lane % SPAN) * CHUNK + j) / 4u];
    let source = j * LANES + p.lane;
    let u = Square(U[source], U[source + LANES], U[source + 2u * LANES], U[source + 3u * LANES]);
    o0 = add(o0, m, 0u, u);
    if (SPAN == 8u) { o1 = add(o1, m, 4u, u); }
  }
  addOut(p, token, o0.a);
  addOut(p, token + 1u, o0.b);
  addOut(p, token + 2u, o0.c);
  addOut(p, token + 3u, o0.d);
  if (SPAN == 8u) {
    addOut(p, token + 4u, o1.a);
    addOut(p, token + 5u, o1.b);
    addOut(p, token + 6u, o1.c);
    addOut(p, token + 7u, o1.d);
  }
}

fn addOut(p: Place, token: u32, sum: vec4f) {
  if (p.inside && token < step.tokens) { o[(token * VALUE_HEADS + p.head) * VALUE_QUADS + p.column] += sum; }
}

// S ← e^(G_31)·S + Kᵀ e^(G_31−G) U, eight rows of S; the second four may be beyond the last
fn advance(p: Place, token: u32, rows: u32, at: u32, n: u32) {
  let decay = factors[at].w;
  let second = min(n + 1u, KEY_QUADS - 1u);
  var s0 = decayed(p, n, decay);
  var s1 = decayed(p, second, decay);
  for (var i = 0u; i < rows; i += SPAN) {
    let mine = i + p.lane % SPAN;
    let row = rowOf(token + mine) + keyAt(p.head);
    let factor = factors[at + mine].z;
    let k0 = qkv[row + n] * factor;
    let k1 = qkv[row + second] * factor;
    for (var j = 0u; j < SPAN; j++) {
      let u = U[(i + j) * LANES + p.lane];
      s0 = addOuter(s0, subgroupShuffle(k0, j), u);
      s1 = addOuter(s1, subgroupShuffle(k1, j), u);
    }
  }
  storeState(p, n, s0);
  if (n + 1u < KEY_QUADS) { storeState(p, second, s1); }
}

fn decayed(p: Place, n: u32, decay: f32) -> Square {
  let source = 4u * n * LANES + p.lane;
  return Square(
    decay * state[source], decay * state[source + LANES], decay * state[source + 2u * LANES], decay * state[source + 3u * LANES],
  );
}

fn addOuter(s: Square, k: vec4f, u: vec4f) -> Square {
  return Square(s.a + k.x * u, s.b + k.y * u, s.c + k.z * u, s.d + k.w * u);
}

fn storeState(p: Place, n: u32, s: Square) {
  let to = 4u * n * LANES + p.lane;
  state[to] = s.a;
  state[to + LANES] = s.b;
  state[to + 2u * LANES] = s.c;
  state[to + 3u * LANES] = s.d;
}
