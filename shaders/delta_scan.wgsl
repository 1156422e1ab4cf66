// delta_scan: carries the state over the chunks that delta_chunk prepared. Per chunk, with the decays of its header:
//   X = V − e^G·K S;  U = M β X;  o = e^G·Q S + P U;  S ← e^(G_31)·S + Kᵀ e^(G_31−G) U
//   qkv: [T, C]    inner: [chunks, Nv, 64, 32]    factors: [chunks, Nv, 32, 4]
//   S: [Nv, Dk, Dv], updated in place    o: [T, Nv·Dv]
//   one workgroup per (tile of 4·QUADS columns of S, head), chunks one after another; invocation (r, c) has four
//   columns c and every ROWS-th group of four rows; uses step
// o holds e^G·Q S from the first step to the third, written and read by the same invocation.
const CHUNK = 32u;
override VALUE_HEADS: u32;
override KEY_HEADS: u32;
override DK: u32;
override DV: u32;
override C: u32;
override QUADS: u32;   // of columns in a tile
override ROWS: u32;    // row lanes, a divisor of 8; 1 makes every row index uniform
override WG: u32 = ROWS * QUADS;
override KEY_QUADS: u32 = DK / 4u;
override TILE: u32 = DK * QUADS;
override ROW_TILE: u32 = CHUNK * QUADS;

@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> inner: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> S: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read> step: Step;

var<workgroup> state: array<vec4f, TILE>;
var<workgroup> X: array<vec4f, ROW_TILE>;
var<workgroup> U: array<vec4f, ROW_TILE>;

@compute @workgroup_size(WG)
fn delta_scan(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let c = lane % QUADS;
  let r = select(lane / QUADS, 0u, ROWS == 1u);
  let column = group.x * QUADS + c;
  let inside = column < DV / 4u;
  let first = head * DK * (DV / 4u) + min(column, DV / 4u - 1u);   // a column beyond the last works along, unwritten
  for (var i = r; i < DK; i += ROWS) { state[i * QUADS + c] = S[first + i * (DV / 4u)]; }
  workgroupBarrier();
  for (var chunk = 0u; chunk * CHUNK < step.tokens; chunk++) {
    let at = chunk * VALUE_HEADS + head;
    againstState(chunk, head, at, r, c, min(column, DV / 4u - 1u), inside);
    workgroupBarrier();
    solve(at, r, c);
    workgroupBarrier();
    if (inside) { addInner(chunk, head, at, r, c, column); }
    advance(chunk, head, at, r, c);
    workgroupBarrier();
  }
  if (inside) {
    for (var i = r; i < DK; i += ROWS) { S[first + i * (DV / 4u)] = state[i * QUADS + c]; }
  }
}

fn rowOf(token: u32) -> u32 {
  return min(token, step.tokens - 1u) * (C / 4u);
}

fn queryAt(head: u32) -> u32 {
  return head / (VALUE_HEADS / KEY_HEADS) * KEY_QUADS;
}

fn keyAt(head: u32) -> u32 {
  return KEY_HEADS * KEY_QUADS + queryAt(head);
}

// X = V − e^G·K S, and e^G·Q S into o
fn againstState(chunk: u32, head: u32, at: u32, r: u32, c: u32, column: u32, inside: bool) {
  let value = 2u * KEY_HEADS * KEY_QUADS + head * (DV / 4u) + column;
  for (var i = 4u * r; i < CHUNK; i += 4u * ROWS) {
    let token = chunk * CHUNK + i;
    let key = keyAt(head);
    let k = timesState(rowOf(token) + key, rowOf(token + 1u) + key, rowOf(token + 2u) + key, rowOf(token + 3u) + key, c);
    let query = queryAt(head);
    let q = timesState(rowOf(token) + query, rowOf(token + 1u) + query, rowOf(token + 2u) + query, rowOf(token + 3u) + query, c);
    for (var n = 0u; n < 4u; n++) {
      let factor = factors[at * CHUNK + i + n];
      X[(i + n) * QUADS + c] = qkv[rowOf(token + n) + value] - factor.x * k[n];
      if (inside && token + n < step.tokens) { o[((token + n) * VALUE_HEADS + head) * (DV / 4u) + column] = factor.y * q[n]; }
    }
  }
}

fn timesState(row0: u32, row1: u32, row2: u32, row3: u32, c: u32) -> array<vec4f, 4> {
  var y0 = vec4f(0.0);
  var y1 = vec4f(0.0);
  var y2 = vec4f(0.0);
  var y3 = vec4f(0.0);
  for (var n = 0u; n < KEY_QUADS; n++) {
    let s0 = state[4u * n * QUADS + c];
    let s1 = state[(4u * n + 1u) * QUADS + c];
    let s2 = state[(4u * n + 2u) * QUADS + c];
    let s3 = state[(4u * n + 3u) * QUADS + c];
    let x0 = qkv[row0 + n];
    let x1 = qkv[row1 + n];
    let x2 = qkv[row2 + n];
    let x3 = qkv[row3 + n];
    y0 += x0.x * s0 + x0.y * s1 + x0.z * s2 + x0.w * s3;
    y1 += x1.x * s0 + x1.y * s1 + x1.z * s2 + x1.w * s3;
    y2 += x2.x * s0 + x2.y * s1 + x2.z * s2 + x2.w * s3;
    y3 += x3.x * s0 + x3.y * s1 + x3.z * s2 + x3.w * s3;
  }
  return array<vec4f, 4>(y0, y1, y2, y3);
}

// U = M β X
fn solve(at: u32, r: u32, c: u32) {
  for (var i = 4u * r; i < CHUNK; i += 4u * ROWS) {
    for (var n = 0u; n < 4u; n++) {
      var sum = vec4f(0.0);
      for (var j = 0u; j <= i; j += 4u) {
        let m = inner[((at * 64u + i + n) * CHUNK + j) / 4u];
        sum += m.x * X[j * QUADS + c] + m.y * X[(j + 1u) * QUADS + c] + m.z * X[(j + 2u) * QUADS + c] + m.w * X[(j + 3u) * QUADS + c];
      }
      U[(i + n) * QUADS + c] = sum;
    }
  }
}

// o += P U
fn addInner(chunk: u32, head: u32, at: u32, r: u32, c: u32, column: u32) {
  for (var i = 4u * r; i < CHUNK; i += 4u * ROWS) {
    for (var n = 0u; n < 4u; n++) {
      let token = chunk * CHUNK + i + n;
      if (token >= step.tokens) { return; }
      var sum = o[(token * VALUE_HEADS + head) * (DV / 4u) + column];
      for (var j = 0u; j <= i; j += 4u) {
        let p = inner[((at * 64u + 32u + i + n) * CHUNK + j) / 4u];
        sum += p.x * U[j * QUADS + c] + p.y * U[(j + 1u) * QUADS + c] + p.z * U[(j + 2u) * QUADS + c] + p.w * U[(j + 3u) * QUADS + c];
      }
      o[(token * VALUE_HEADS + head) * (DV / 4u) + column] = sum;
    }
  }
}

// S ← e^(G_31)·S + Kᵀ e^(G_31−G) U
fn advance(chunk: u32, head: u32, at: u32, r: u32, c: u32) {
  let decay = factors[at * CHUNK].w;
  for (var n = r; n < KEY_QUADS; n += ROWS) {
    let row = 4u * n * QUADS + c;
    var s0 = decay * state[row];
    var s1 = decay * state[row + QUADS];
    var s2 = decay * state[row + 2u * QUADS];
    var s3 = decay * state[row + 3u * QUADS];
    for (var i = 0u; i < CHUNK; i++) {
      let k = qkv[rowOf(chunk * CHUNK + i) + keyAt(head) + n] * factors[at * CHUNK + i].z;
      let x = U[i * QUADS + c];
      s0 += k.x * x;
      s1 += k.y * x;
      s2 += k.z * x;
      s3 += k.w * x;
    }
    state[row] = s0;
    state[row + QUADS] = s1;
    state[row + 2u * QUADS] = s2;
    state[row + 3u * QUADS] = s3;
  }
}
