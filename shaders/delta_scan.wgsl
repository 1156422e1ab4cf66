// delta_scan: carries the state over the chunks that delta_chunk prepared. Per chunk, with the decays of its header:
//   X = V − e^G·K S;  U = M beta X;  o = e^G·Q S + P U;  S ← e^(G_31)·S + Kᵀ e^(G_31−G) U
//   qkv: [T, C]    inner: [chunks, Nv, 64, 32]    factors: [chunks, Nv, 32, 4]
//   memory: [slots, STATE]: the convolution's window [4, C], then S [Nv, Dk, Dv], updated in place    o: [T, Nv·Dv]
//   one workgroup per (tile of 4·QUADS columns of S, head), chunks one after another; invocation (r, c) has four
//   columns c, the r-th group of four rows of the chunk, and every eighth group of four rows of S
//   uses steps/sequence, delta_rows
// o holds e^G·Q S from the first stage to the third, written and read by the same invocation.
const ROW_LANES = 8u;
override QUADS: u32;
override STATE: u32;   // vec4s of a slot's memory
override TILE: u32 = DK * QUADS;
override ROW_TILE: u32 = CHUNK * QUADS;
override WG: u32 = ROW_LANES * QUADS;

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

// Where this invocation works; beyond the last column it works on the last and stores nothing.
struct Place {
  head: u32,
  c: u32,        // of the tile
  column: u32,   // of the head
  inside: bool,
  r: u32,
}

@compute @workgroup_size(WG)
fn delta_scan(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = lane % QUADS;
  let column = group.x * QUADS + c;
  let base = step.slot * STATE + C;
  let p = Place(group.y, c, min(column, VALUE_QUADS - 1u), column < VALUE_QUADS, lane / QUADS);
  for (var i = p.r; i < DK; i += ROW_LANES) { state[i * QUADS + c] = memory[base + (p.head * DK + i) * VALUE_QUADS + p.column]; }
  workgroupBarrier();
  for (var chunk = 0u; chunk * CHUNK < step.tokens; chunk++) {
    let token = chunk * CHUNK;
    let at = (chunk * VALUE_HEADS + p.head) * CHUNK;
    let rows = rowsFrom(token);
    let i = 4u * p.r;
    if (i < rows) { againstState(p, token + i, at + i, i); }
    workgroupBarrier();
    if (i < rows) { solve(p, at, i); }
    workgroupBarrier();
    if (i < rows) { addInner(p, token + i, at, i); }
    for (var n = p.r; n < KEY_QUADS; n += 2u * ROW_LANES) { advance(p, token, rows, at, n); }
    workgroupBarrier();
  }
  if (!p.inside) { return; }
  for (var i = p.r; i < DK; i += ROW_LANES) { memory[base + (p.head * DK + i) * VALUE_QUADS + p.column] = state[i * QUADS + c]; }
}

fn addRow(sum: vec4f, row: vec4f, m: Square) -> vec4f {
  return sum + row.x * m.a + row.y * m.b + row.z * m.c + row.w * m.d;
}

// sums + the four rows at `rows` in qkv, times the four rows m
fn add(sums: Square, rows: vec4u, m: Square) -> Square {
  return Square(
    addRow(sums.a, qkv[rows.x], m), addRow(sums.b, qkv[rows.y], m),
    addRow(sums.c, qkv[rows.z], m), addRow(sums.d, qkv[rows.w], m),
  );
}

// X = V − e^G·K S, and e^G·Q S into o
fn againstState(p: Place, token: u32, at: u32, i: u32) {
  let rows = vec4u(rowOf(token), rowOf(token + 1u), rowOf(token + 2u), rowOf(token + 3u));
  var k = Square();
  var q = Square();
  for (var n = 0u; n < keyQuads(); n++) {
    let m = stateAt(p, n);
    k = add(k, rows + keyAt(p.head) + n, m);
    q = add(q, rows + queryAt(p.head) + n, m);
  }
  subtractRow(p, token, at, i, k.a, q.a);
  subtractRow(p, token + 1u, at + 1u, i + 1u, k.b, q.b);
  subtractRow(p, token + 2u, at + 2u, i + 2u, k.c, q.c);
  subtractRow(p, token + 3u, at + 3u, i + 3u, k.d, q.d);
}

fn stateAt(p: Place, n: u32) -> Square {
  let source = 4u * n * QUADS + p.c;
  return Square(state[source], state[source + QUADS], state[source + 2u * QUADS], state[source + 3u * QUADS]);
}

fn subtractRow(p: Place, token: u32, at: u32, i: u32, k: vec4f, q: vec4f) {
  let factor = factors[at];
  X[i * QUADS + p.c] = qkv[rowOf(token) + valueAt(p.head) + p.column] - factor.x * k;
  if (p.inside && token < step.tokens) { o[(token * VALUE_HEADS + p.head) * VALUE_QUADS + p.column] = factor.y * q; }
}

// sums + columns j … j + 3 of rows i … i + 3 of an inner matrix, times the four rows m
fn addInnerRows(sums: Square, row: u32, j: u32, m: Square) -> Square {
  let source = (row * CHUNK + j) / 4u;
  let next = CHUNK / 4u;
  return Square(
    addRow(sums.a, inner[source], m), addRow(sums.b, inner[source + next], m),
    addRow(sums.c, inner[source + 2u * next], m), addRow(sums.d, inner[source + 3u * next], m),
  );
}

// U = M beta X
fn solve(p: Place, at: u32, i: u32) {
  var u = Square();
  for (var j = 0u; j <= i; j += 4u) {
    let source = j * QUADS + p.c;
    let x = Square(X[source], X[source + QUADS], X[source + 2u * QUADS], X[source + 3u * QUADS]);
    u = addInnerRows(u, 2u * at + i, j, x);
  }
  let to = i * QUADS + p.c;
  U[to] = u.a;
  U[to + QUADS] = u.b;
  U[to + 2u * QUADS] = u.c;
  U[to + 3u * QUADS] = u.d;
}

// o += P U
fn addInner(p: Place, token: u32, at: u32, i: u32) {
  var sums = Square();
  for (var j = 0u; j <= i; j += 4u) {
    let source = j * QUADS + p.c;
    let u = Square(U[source], U[source + QUADS], U[source + 2u * QUADS], U[source + 3u * QUADS]);
    sums = addInnerRows(sums, 2u * at + CHUNK + i, j, u);
  }
  addOut(p, token, sums.a);
  addOut(p, token + 1u, sums.b);
  addOut(p, token + 2u, sums.c);
  addOut(p, token + 3u, sums.d);
}

fn addOut(p: Place, token: u32, sum: vec4f) {
  if (p.inside && token < step.tokens) { o[(token * VALUE_HEADS + p.head) * VALUE_QUADS + p.column] += sum; }
}

// S ← e^(G_31)·S + Kᵀ e^(G_31−G) U, two times four rows of S, so that a row of U serves both; the second may be beyond the last
fn advance(p: Place, token: u32, rows: u32, at: u32, n: u32) {
  let decay = factors[at].w;
  let second = select(n, n + ROW_LANES, n + ROW_LANES < KEY_QUADS);
  var s0 = decayed(stateAt(p, n), decay);
  var s1 = decayed(stateAt(p, second), decay);
  for (var i = 0u; i < rows; i++) {
    let row = rowOf(token + i) + keyAt(p.head);
    let u = U[i * QUADS + p.c] * factors[at + i].z;
    s0 = addOuter(s0, qkv[row + n], u);
    s1 = addOuter(s1, qkv[row + second], u);
  }
  storeState(p, n, s0);
  if (n + ROW_LANES < KEY_QUADS) { storeState(p, second, s1); }
}

fn decayed(s: Square, decay: f32) -> Square {
  return Square(decay * s.a, decay * s.b, decay * s.c, decay * s.d);
}

fn addOuter(s: Square, k: vec4f, u: vec4f) -> Square {
  return Square(s.a + k.x * u, s.b + k.y * u, s.c + k.z * u, s.d + k.w * u);
}

fn storeState(p: Place, n: u32, s: Square) {
  let to = 4u * n * QUADS + p.c;
  state[to] = s.a;
  state[to + QUADS] = s.b;
  state[to + 2u * QUADS] = s.c;
  state[to + 3u * QUADS] = s.d;
}
