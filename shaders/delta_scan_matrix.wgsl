// delta_scan_matrix: delta_scan on a device that multiplies matrices; formula there
//   X = V − e^G·kn S;  U = M beta X;  o = SCALE·(e^G·qn S + P U);  S ← e^(G_31)·S + knᵀ e^(G_31−G) U
//   qkv, memory, o: as for delta_scan    halves, inner, factors: of delta_chunk_matrix
//   one workgroup of four subgroups per (tile of COLUMNS columns of S, head), chunks one after another
//   uses steps/sequence, delta_rows, delta_halves, matrix/*, matrix/stored
// S is f32 and stays with the lanes from chunk to chunk (held). What the products take of it, and of U, is rounded to f16
// behind a power of two that brings the tile's largest into range. Of repeated keys U is large and cancels, so o takes it
// in two halves, hi + lo. M X is f32.
override COLUMNS: u32; // 16 or 32
override WIDTH: u32;   // lanes of a subgroup
override STATE: u32;   // vec4s of a slot's memory
override SCALE: f32;   // Dk^-0.5
override WG: u32 = 4u * WIDTH;

// Of every product a subgroup makes strips of 16 rows, all columns.
const STRIP = 16u;
const MATRIX = ROWS_EACH * COLUMNS_EACH;
const TOGETHER = 4u; // fours of a row of M, which has eight
const DOWN = STRIP / ROWS_EACH;
const MOST = DOWN * 32u / COLUMNS_EACH; // matrices of a strip
override ACROSS: u32 = COLUMNS / COLUMNS_EACH;
override PLACES: u32 = STRIP * COLUMNS; // results of a strip
override QUADS: u32 = COLUMNS / 4u;
override TILE: u32 = CHUNK * QUADS;
override HELD: u32 = PLACES / 4u / WIDTH; // fours of a strip that are a lane's
override STRIPS: u32 = (DK + 4u * STRIP - 1u) / (4u * STRIP); // of S, that are a subgroup's

// Of a column: S, then the U of each token rounded, what that lost, and U as the chunk's end sees it.
override HI: u32 = DK;
override LO: u32 = DK + CHUNK;
override LATE: u32 = DK + 2u * CHUNK;
override STRIDE: u32 = DK + 3u * CHUNK + 8u; // so that columns begin in different banks
override OPERANDS: u32 = COLUMNS * STRIDE;

@group(0) @binding(1) var<storage, read> inner: array<vec4f>;
@group(0) @binding(2) var<storage, read> factors: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> memory: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4f>;
@group(0) @binding(5) var<storage, read> step: Step;

var<workgroup> operands: array<Half, OPERANDS>;
var<workgroup> results: array<f32, 4u * PLACES>; // a strip of each subgroup, matrix by matrix; in between, U [token][column]
var<workgroup> X: array<vec4f, TILE>;
var<workgroup> mostS: atomic<u32>; // the largest of the tile, as the bits of a float
var<workgroup> mostU: atomic<u32>;

var<private> held: array<vec4f, 16>; // this lane's part of S
var<private> given: array<vec4f, 16>; // and what it gives of a chunk's queries

// Where this lane works.
struct Place {
  head: u32,
  column: u32, // the tile's first of the head, in fours
  lane: u32,
  part: u32,   // its subgroup
}

// Four results of one row of a strip: where they are kept, and what they are of.
struct Four {
  place: u32,
  row: u32,
  column: u32,
}

@compute @workgroup_size(WG)
fn delta_scan_matrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = Place(group.y, group.x * QUADS, lane, lane / WIDTH);
  let base = step.slot * STATE + C + p.head * DK * VALUE_QUADS + p.column;
  for (var i = 0u; i < heldCount(); i++) {
    let s = stateOf(p, i);
    if (s.row < DK) { held[i] = memory[base + s.row * VALUE_QUADS + s.column / 4u]; }
  }
  var stateBack = putState(p);
  for (var chunk = 0u; chunk * CHUNK < step.tokens; chunk++) {
    let at = (chunk * VALUE_HEADS + p.head) * CHUNK;
    againstState(p, chunk, at, stateBack);
    workgroupBarrier();
    solve(p, at);
    workgroupBarrier();
    let scale = scaleFor(atomicLoad(&mostU));
    for (var i = lane; i < count(TILE); i += WG) { putValues(at, scale, i); }
    workgroupBarrier();
    if (lane == 0u) { atomicStore(&mostU, 0u); }
    if (p.part >= 2u) { addInner(p, chunk); }
    workgroupBarrier();
    if (p.part >= 2u) { addOut(p, chunk, 1.0 / scale); }
    advance(p, chunk, factors[at].w, 1.0 / scale);
    stateBack = putState(p);
  }
  for (var i = 0u; i < heldCount(); i++) {
    let s = stateOf(p, i);
    if (s.row < DK) { memory[base + s.row * VALUE_QUADS + s.column / 4u] = held[i]; }
  }
}

// The power of two that brings values of up to `most` just below f16's largest; of infinities, any.
fn scaleFor(most: u32) -> f32 {
  return bitcast<f32>(clamp(268u - (most >> 23u), 14u, 227u) << 23u);
}

fn largest(four: vec4f) -> u32 {
  let a = abs(four);
  return bitcast<u32>(max(max(a.x, a.y), max(a.z, a.w)));
}

// The n-th four of the strip that this subgroup keeps.
fn fourAt(p: Place, n: u32) -> Four {
  let matrix = 4u * n / MATRIX;
  let place = 4u * n % MATRIX;
  let row = matrix / ACROSS * ROWS_EACH + place / COLUMNS_EACH;
  return Four(p.part * PLACES + 4u * n, row, matrix % ACROSS * COLUMNS_EACH + place % COLUMNS_EACH);
}

fn resultsAt(place: u32) -> vec4f {
  return vec4f(results[place], results[place + 1u], results[place + 2u], results[place + 3u]);
}

fn across() -> u32 {
  return count(ACROSS);
}

// ── The state: of every four strips, one is a subgroup's

fn heldCount() -> u32 {
  return count(STRIPS * HELD);
}

fn firstRow(p: Place, strip: u32) -> u32 {
  return (4u * strip + p.part) * STRIP;
}

fn stateOf(p: Place, i: u32) -> Four {
  let four = fourAt(p, i % HELD * WIDTH + p.lane % WIDTH);
  return Four(four.place, four.row + firstRow(p, i / HELD), four.column);
}

// S to the operands, by columns; what takes products of it back.
fn putState(p: Place) -> f32 {
  var most = 0u;
  for (var i = 0u; i < heldCount(); i++) { most = max(most, largest(held[i])); }
  atomicMax(&mostS, most);
  workgroupBarrier();
  let scale = scaleFor(atomicLoad(&mostS));
  for (var i = 0u; i < heldCount(); i++) {
    let s = stateOf(p, i);
    if (s.row < DK) {
      for (var n = 0u; n < 4u; n++) { operands[(s.column + n) * STRIDE + s.row] = halfOf(held[i][n] * scale); }
    }
  }
  workgroupBarrier();
  if (p.lane == 0u) { atomicStore(&mostS, 0u); }
  return 1.0 / scale;
}

// S ← e^(G_31)·S + knᵀ e^(G_31−G) U
fn advance(p: Place, chunk: u32, decay: f32, back: f32) {
  let keys = keysAt(chunk, queryAt(p.head) / KEY_QUADS);
  for (var strip = 0u; strip < count(STRIPS); strip++) {
    let top = firstRow(p, strip);
    workgroupBarrier(); // the results before may still be read
    if (top < DK) { writeStrip(p, keys + top); }
    workgroupBarrier();
    for (var n = 0u; n < count(HELD); n++) {
      let i = strip * HELD + n;
      let s = stateOf(p, i);
      if (s.row < DK) { held[i] = decay * held[i] + back * resultsAt(s.place); }
    }
  }
}

// A strip of knᵀ U; the keys' first column is at `keys`.
fn writeStrip(p: Place, keys: u32) {
  var sums: array<Sums, MOST>;
  for (var m = 0u; m < DOWN * across(); m++) { sums[m] = noSums(m); }
  for (var d = 0u; d < count(CHUNK); d += DEPTH_EACH) {
    for (var a = 0u; a < count(DOWN); a++) {
      let left = storedLeftTurned(keys + d * DK + a * ROWS_EACH, DK);
      for (var b = 0u; b < across(); b++) {
        let right = rightAt(b * COLUMNS_EACH * STRIDE + LATE + d);
        sums[a * ACROSS + b] = multipliedStored(left, right, sums[a * ACROSS + b], p.lane);
      }
    }
  }
  for (var m = 0u; m < DOWN * across(); m++) { keepSums(sums[m], p.part * PLACES + m * MATRIX, p.lane); }
}

// ── A chunk's tokens: those of strips 0 and 1 as keys, of strips 2 and 3 as queries

// X = V − e^G·kn S, and e^G·qn S into `given`
fn againstState(p: Place, chunk: u32, at: u32, back: f32) {
  let rows = keysAt(chunk, queryAt(p.head) / KEY_QUADS) + p.part * STRIP * DK;
  var sums: array<Sums, MOST>;
  for (var m = 0u; m < DOWN * across(); m++) { sums[m] = noSums(m); }
  for (var d = 0u; d < count(DK); d += DEPTH_EACH) {
    for (var a = 0u; a < count(DOWN); a++) {
      let left = storedLeft(rows + a * ROWS_EACH * DK + d, DK);
      for (var b = 0u; b < across(); b++) {
        let right = rightAt(b * COLUMNS_EACH * STRIDE + d);
        sums[a * ACROSS + b] = multipliedStored(left, right, sums[a * ACROSS + b], p.lane);
      }
    }
  }
  for (var m = 0u; m < DOWN * across(); m++) { keepSums(sums[m], p.part * PLACES + m * MATRIX, p.lane); }
  workgroupBarrier();
  for (var n = 0u; n < count(HELD); n++) {
    let four = fourAt(p, n * WIDTH + p.lane % WIDTH);
    let i = tokenOf(p, four);
    let token = chunk * CHUNK + i;
    let column = p.column + four.column / 4u;
    let product = back * resultsAt(four.place);
    if (p.part < 2u) {
      let v = qkv[rowOf(token) + valueAt(p.head) + column];
      X[i * QUADS + four.column / 4u] = v - factors[at + i].x * product;
    } else {
      given[n] = factors[at + i].y * product;
    }
  }
}

fn tokenOf(p: Place, four: Four) -> u32 {
  return p.part % 2u * STRIP + four.row;
}

fn fourTokens(first: u32, c: u32) -> mat4x4f {
  let at = first * QUADS + c;
  return mat4x4f(X[at], X[at + QUADS], X[at + 2u * QUADS], X[at + 3u * QUADS]);
}

// U = M beta X, two rows of four columns at a time, into the results
fn solve(p: Place, at: u32) {
  var most = 0u;
  for (var item = p.lane; item < count(TILE / 2u); item += WG) {
    let c = item % QUADS;
    let i = item / QUADS * 2u;
    let row = (at + i) * CHUNK / 4u;
    var a = vec4f();
    var b = vec4f();
    for (var j = 0u; j <= i; j += 4u * TOGETHER) { // so many of M are under way together
      var above: array<vec4f, TOGETHER>;
      var below: array<vec4f, TOGETHER>;
      for (var n = 0u; n < TOGETHER; n++) {
        above[n] = inner[row + j / 4u + n];
        below[n] = inner[row + CHUNK / 4u + j / 4u + n];
      }
      for (var n = 0u; n < TOGETHER; n++) {
        let first = j + 4u * n;
        let x = fourTokens(first, c);
        a += x * above[n]; // M is 0 beyond
        b += x * below[n];
      }
    }
    most = max(most, max(largest(a), largest(b)));
    for (var n = 0u; n < 4u; n++) {
      results[i * COLUMNS + 4u * c + n] = a[n];
      results[(i + 1u) * COLUMNS + 4u * c + n] = b[n];
    }
  }
  atomicMax(&mostU, most);
}

// The i-th four values of U, to the operands.
fn putValues(at: u32, scale: f32, i: u32) {
  let token = i / QUADS;
  let u = resultsAt(4u * i) * scale;
  let late = u * factors[at + token].z;
  for (var n = 0u; n < 4u; n++) {
    let to = (i % QUADS * 4u + n) * STRIDE + token;
    // Its first 11 bits, cut. Rounded, and back in f32, it would be u to compilers that take such a way for none.
    let hi = bitcast<f32>(bitcast<u32>(u[n]) & 0xffffe000u);
    operands[to + HI] = halfOf(hi);
    operands[to + LO] = halfOf(u[n] - hi);
    operands[to + LATE] = halfOf(late[n]);
  }
}

// A strip of P U
fn addInner(p: Place, chunk: u32) {
  let rows = innerAt(chunk, p.head) + p.part % 2u * STRIP * CHUNK;
  var sums: array<Sums, MOST>;
  for (var m = 0u; m < DOWN * across(); m++) { sums[m] = noSums(m); }
  for (var d = 0u; d < count(CHUNK); d += DEPTH_EACH) {
    for (var a = 0u; a < count(DOWN); a++) {
      let left = storedLeft(rows + a * ROWS_EACH * CHUNK + d, CHUNK);
      for (var b = 0u; b < across(); b++) {
        let m = a * ACROSS + b;
        sums[m] = multipliedStored(left, rightAt(b * COLUMNS_EACH * STRIDE + HI + d), sums[m], p.lane);
        sums[m] = multipliedStored(left, rightAt(b * COLUMNS_EACH * STRIDE + LO + d), sums[m], p.lane);
      }
    }
  }
  for (var m = 0u; m < DOWN * across(); m++) { keepSums(sums[m], p.part * PLACES + m * MATRIX, p.lane); }
}

// SCALE·P U, with what the state has given this lane, into o
fn addOut(p: Place, chunk: u32, back: f32) {
  for (var n = 0u; n < count(HELD); n++) {
    let four = fourAt(p, n * WIDTH + p.lane % WIDTH);
    let token = chunk * CHUNK + tokenOf(p, four);
    if (token < step.tokens) {
      let to = (token * VALUE_HEADS + p.head) * VALUE_QUADS + p.column + four.column / 4u;
      o[to] = given[n] + SCALE * back * resultsAt(four.place);
    }
  }
}
