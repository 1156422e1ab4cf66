// attention_matrix: attention_tile on a device that multiplies matrices:
//   y[t,h] = Σ_k softmax_k(q[t,h]·K_k · D^-½) · V_k,   k = 0 … past + t
//   q: [T, Nh, D]    K, V: the cache    y: [T, Nh·D]    scales of q [T·Nh]: there and back (row_scales)
//   A workgroup of four subgroups takes ROWS rows of one kv head, a row being a (token, query head of the group) pair,
//   token-major, and walks the keys in tiles of 32. A subgroup has half of the rows: of the scores half of the keys, of
//   the output half of each 64 dims, which stay in its matrices to the end.
// Queries, keys and values are scaled by powers of two into f16's range, where the cache may hold what is beyond it
// (kv_range/*): what is lost is their rounding to 11 bits. Products are exact; scores, sums and softmax are f32. Weights
// are 2^7 · e^(s − m), of 11 bits too, and their sum is that of what they were rounded to. m is not the largest score so
// far, but one that is at most 2^8 below it as a weight: so weights stay in f16's range, and the output is seldom rescaled,
// which takes its matrices through workgroup memory. Uses steps/sequence, kv_cache, kv_read/*, kv_range/*, matrix/* and
// attention_gate or attention_plain
override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override ROWS: u32;                               // 32 or 64
override WIDTH: u32;                              // lanes of a subgroup
override FIRST: u32 = 0;                          // rows that other dispatches take
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<storage, read> queryScales: array<vec2f>;

const KEYS = 32u;
const DEPTH = 32u;                                // of head width that is staged for scores at once
const DIMS = 64u;                                 // of head width whose values are staged at once
const STRIDE = DEPTH + 8u;                        // so that rows begin in different banks
const WIDE = DIMS + 8u;
const LOWEST = -3.4e38;
const BASE = 7.0;                                 // log2 of a weight whose score is m
const ROOM = 8.0;                                 // log2 of how much larger one may get
const ACROSS_KEYS = KEYS / 2u / COLUMNS_EACH;     // matrices of a subgroup
const ACROSS = DIMS / 2u / COLUMNS_EACH;
const MOST_DOWN = 32u / ROWS_EACH;
const MOST = MOST_DOWN * ACROSS;
const MOST_SCORES = MOST_DOWN * ACROSS_KEYS;
override DOWN: u32 = ROWS / 2u / ROWS_EACH;
override D4: u32 = D / 4u;
override GROUP: u32 = HEADS / KV_HEADS;
const MOST_WEIGHED = 32u;                         // fours of a lane, where a subgroup has 4
override HALVES: u32 = (2u * ROWS + 4u * WIDTH - 1u) / (4u * WIDTH); // of rows, that a lane weighs
const FOURS = DEPTH / 4u;                         // of a row that are staged
const MOST_COPIED = 32u;                          // of them a lane copies, where a subgroup has 4
override LINES: u32 = 4u * WIDTH / FOURS;         // rows that are copied at once
override LINES_OF_VALUES: u32 = 4u * WIDTH / (DIMS / 4u);
override BEHIND: u32 = ROWS * STRIDE;             // where keys, or values, begin

// Queries [ROWS][DEPTH], later weights [ROWS][KEYS]; behind them keys [KEYS][DEPTH], later values [KEYS][DIMS].
var<workgroup> operands: array<Half, BEHIND + KEYS * WIDE>;
// Scores, matrix by matrix; at times one matrix of each subgroup.
var<workgroup> results: array<f32, ROWS * KEYS>;
var<workgroup> tops: array<f32, ROWS>;            // m, in units of log2
var<workgroup> shrinks: array<f32, ROWS>;         // what a larger m makes of what was summed before
var<workgroup> halves: array<f32, 2u * ROWS>;     // the largest score of half of a tile's keys
var<workgroup> sums: array<f32, 2u * ROWS>;       // of weights, for each half of the keys
var<workgroup> growing: atomic<u32>;
var<workgroup> grew: u32;

struct Rows {
  first: u32,
  last: u32,
  kv_head: u32,
}

struct Keys {
  first: u32,
  count: u32,
  row: u32,      // of the cache
}

// Which matrices a lane's subgroup has, from which row and which half of the keys, or dims, on.
struct Part {
  lane: u32,
  down: u32,
  across: u32,
}

// through the heads of all tokens; rows past the last repeat it and are not stored
fn head_of(rows: Rows, row: u32) -> u32 {
  let at = min(rows.first + row, rows.last);
  return at / GROUP * HEADS + rows.kv_head * GROUP + at % GROUP;
}

fn put4(at: u32, value: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    operands[at + i] = halfOf(value[i]);
  }
}

// Whether a head has such dims at all; where it is whole steps of them, compilers need not ask.
fn within_head(d4: u32, whole: u32) -> bool {
  return D % whole == 0u || d4 < D4;
}

fn dims_of(value: vec4f, inside: bool) -> vec4f {
  return select(vec4f(0.0), value, inside);
}

// DEPTH dims from 4 · first on, of the rows' queries and of the tile's keys; `there` scales the keys
fn stage_scores(rows: Rows, keys: Keys, first: u32, there: f32, lane: u32) {
  let d4 = first + lane % FOURS;
  let inside = within_head(d4, DEPTH);
  let near = select(min(d4, D4 - 1u), d4, D % DEPTH == 0u);
  var queries: array<vec4f, MOST_COPIED>;
  var others: array<vec4f, MOST_COPIED>;
  for (var j = 0u; j < count(ROWS / LINES); j++) {
    let head = head_of(rows, lane / FOURS + LINES * j);
    queries[j] = q[head * D4 + near] * queryScales[head].x;
  }
  for (var j = 0u; j < count(KEYS / LINES); j++) {
    others[j] = key4(keys.row + min(lane / FOURS + LINES * j, keys.count - 1u), near) * there;
  }
  for (var j = 0u; j < count(ROWS / LINES); j++) {
    put4((lane / FOURS + LINES * j) * STRIDE + 4u * (lane % FOURS), dims_of(queries[j], inside));
  }
  for (var j = 0u; j < count(KEYS / LINES); j++) {
    put4(BEHIND + (lane / FOURS + LINES * j) * STRIDE + 4u * (lane % FOURS), dims_of(others[j], inside));
  }
}

// DIMS dims from 4 · first on of the tile's values
fn stage_values(keys: Keys, first: u32, there: f32, lane: u32) {
  let at = lane % (DIMS / 4u);
  let d4 = first + at;
  let inside = within_head(d4, DIMS);
  let near = select(min(d4, D4 - 1u), d4, D % DIMS == 0u);
  var values: array<vec4f, 2u * MOST_COPIED>;
  for (var j = 0u; j < count(KEYS / LINES_OF_VALUES); j++) {
    values[j] = value4(keys.row + min(lane / (DIMS / 4u) + LINES_OF_VALUES * j, keys.count - 1u), near) * there;
  }
  for (var j = 0u; j < count(KEYS / LINES_OF_VALUES); j++) {
    put4(BEHIND + (lane / (DIMS / 4u) + LINES_OF_VALUES * j) * WIDE + 4u * at, dims_of(values[j], inside));
  }
}

// of a subgroup's rows, from column `e` on: of queries, or of weights
fn lefts(down: u32, e: u32) -> array<Left, MOST_DOWN> {
  var left: array<Left, MOST_DOWN>;
  for (var a = 0u; a < count(DOWN); a++) {
    left[a] = leftAt((down + a * ROWS_EACH) * STRIDE + e);
  }
  return left;
}

// where a score is in `results`
fn score_at(row: u32, key: u32) -> u32 {
  let matrix = row / ROWS_EACH * (KEYS / COLUMNS_EACH) + key / COLUMNS_EACH;
  return (matrix * ROWS_EACH + row % ROWS_EACH) * COLUMNS_EACH + key % COLUMNS_EACH;
}

// q·K of the tile, as it is scaled, to `results`
fn score(rows: Rows, keys: Keys, there: f32, part: Part) {
  var s: array<Sums, MOST_SCORES>;
  for (var i = 0u; i < count(DOWN * ACROSS_KEYS); i++) {
    s[i] = noSums(4u * MOST + i);
  }
  for (var d4 = 0u; d4 < D4; d4 += DEPTH / 4u) {
    workgroupBarrier(); // the step before may still be read
    stage_scores(rows, keys, d4, there, part.lane);
    workgroupBarrier();
    for (var e = 0u; e < count(DEPTH); e += DEPTH_EACH) {
      let left = lefts(part.down, e);
      for (var b = 0u; b < count(ACROSS_KEYS); b++) {
        let right = rightAt(BEHIND + (part.across * (KEYS / 2u) + b * COLUMNS_EACH) * STRIDE + e);
        for (var a = 0u; a < count(DOWN); a++) {
          s[a * ACROSS_KEYS + b] = multiplied(left[a], right, s[a * ACROSS_KEYS + b], part.lane);
        }
      }
    }
  }
  for (var i = 0u; i < count(DOWN * ACROSS_KEYS); i++) {
    let row = part.down + i / ACROSS_KEYS * ROWS_EACH;
    let key = part.across * (KEYS / 2u) + i % ACROSS_KEYS * COLUMNS_EACH;
    keepSums(s[i], score_at(row, key), part.lane);
  }
  workgroupBarrier();
}

// The i-th four keys of a half, from others on for each row: lanes of neighbouring rows then read different banks.
fn fours_of(half: u32, row: u32, i: u32) -> u32 {
  return half * (KEYS / 2u) + 4u * ((i + row) % (KEYS / 8u));
}

// Scores become weights. A lane has half of a row's keys; `back` makes of a score what it is, in units of log2.
fn weigh(rows: Rows, keys: Keys, back: f32, lane: u32) {
  var own: array<vec4f, MOST_WEIGHED>;
  for (var n = 0u; n < count(HALVES); n++) {
    let j = 4u * WIDTH * n + lane;
    if (j < 2u * ROWS) {
      let row = j / 2u;
      let horizon = i32(step.past + min(rows.first + row, rows.last) / GROUP) - i32(keys.first);
      let from_query = queryScales[head_of(rows, row)].y;
      var top = vec4f(LOWEST);
      for (var i = 0u; i < count(KEYS / 8u); i++) {
        let key = fours_of(j % 2u, row, i);
        let at = score_at(row, key);
        let whole = vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]) * from_query * back;
        let seen = vec4i(i32(key)) + vec4i(0, 1, 2, 3) <= vec4i(horizon);
        own[n * (KEYS / 8u) + i] = select(vec4f(LOWEST), whole, seen);
        top = max(top, own[n * (KEYS / 8u) + i]);
      }
      halves[j] = max(max(top.x, top.y), max(top.z, top.w));
    }
  }
  workgroupBarrier();
  for (var row = lane; row < count(ROWS); row += 4u * WIDTH) { follow(row); }
  workgroupBarrier();
  if (lane == 0u) { grew = atomicExchange(&growing, 0u); }
  for (var n = 0u; n < count(HALVES); n++) {
    let j = 4u * WIDTH * n + lane;
    if (j < 2u * ROWS) {
      let row = j / 2u;
      let m = tops[row];
      var sum = sums[j] * shrinks[row];
      for (var i = 0u; i < count(KEYS / 8u); i++) {
        sum += put_weights(row * STRIDE + fours_of(j % 2u, row, i), exp2(own[n * (KEYS / 8u) + i] - m + BASE));
      }
      sums[j] = sum;
    }
  }
}

// m follows a row's largest score, if that is far beyond it.
fn follow(row: u32) {
  let m = tops[row];
  let top = max(halves[2u * row], halves[2u * row + 1u]);
  let grows = top > m + ROOM;
  shrinks[row] = select(1.0, exp2(m - top), grows);
  tops[row] = select(m, top, grows);
  if (grows) { atomicStore(&growing, 1u); }
}

// Their sum, as they were rounded.
fn put_weights(at: u32, weights: vec4f) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < 4u; i++) {
    let p = halfOf(weights[i]);
    operands[at + i] = p;
    sum += f32(p);
  }
  return sum;
}

fn none(round: u32) -> array<Sums, MOST> {
  var o: array<Sums, MOST>;
  for (var i = 0u; i < count(DOWN * ACROSS); i++) {
    o[i] = noSums(round * MOST + i);
  }
  return o;
}

fn shrunk(before: array<Sums, MOST>, part: Part) -> array<Sums, MOST> {
  var o = before;
  let own = part.lane / WIDTH * ROWS_EACH * COLUMNS_EACH;
  for (var i = 0u; i < count(DOWN * ACROSS); i++) {
    workgroupBarrier(); // the matrix before may still be read
    keepSums(o[i], own, part.lane);
    workgroupBarrier();
    for (var j = part.lane % WIDTH; j < count(ROWS_EACH * COLUMNS_EACH); j += WIDTH) {
      results[own + j] *= shrinks[part.down + i / ACROSS * ROWS_EACH + j / COLUMNS_EACH];
    }
    workgroupBarrier();
    o[i] = sumsAt(o[i], own, part.lane);
  }
  return o;
}

// + weights · V, of DIMS dims from `round` on
fn mixed(before: array<Sums, MOST>, round: u32, keys: Keys, there: f32, part: Part) -> array<Sums, MOST> {
  var o = before;
  workgroupBarrier(); // the values before may still be read
  stage_values(keys, round * (DIMS / 4u), there, part.lane);
  workgroupBarrier();
  for (var e = 0u; e < count(KEYS); e += DEPTH_EACH) {
    let left = lefts(part.down, e);
    for (var b = 0u; b < count(ACROSS); b++) {
      let right = rightRowsAt(BEHIND + e * WIDE + part.across * (DIMS / 2u) + b * COLUMNS_EACH, WIDE);
      for (var a = 0u; a < count(DOWN); a++) {
        o[a * ACROSS + b] = multiplied(left[a], right, o[a * ACROSS + b], part.lane);
      }
    }
  }
  return o;
}

fn write(o: array<Sums, MOST>, round: u32, rows: Rows, back: f32, part: Part) {
  let own = part.lane / WIDTH * ROWS_EACH * COLUMNS_EACH;
  for (var i = 0u; i < count(DOWN * ACROSS); i++) {
    workgroupBarrier(); // the matrix before may still be read
    keepSums(o[i], own, part.lane);
    workgroupBarrier();
    for (var j = part.lane % WIDTH; j < count(ROWS_EACH * COLUMNS_EACH / 4u); j += WIDTH) {
      let row = part.down + i / ACROSS * ROWS_EACH + 4u * j / COLUMNS_EACH;
      let d4 = (round * DIMS + part.across * (DIMS / 2u) + i % ACROSS * COLUMNS_EACH + 4u * j % COLUMNS_EACH) / 4u;
      if (rows.first + row <= rows.last && d4 < D4) {
        let at = own + 4u * j;
        let sum = vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
        let head = head_of(rows, row);
        let value = sum / (sums[2u * row] + sums[2u * row + 1u]) * back;
        y[head * D4 + d4] = gated(value, head / HEADS, head % HEADS, d4);
      }
    }
  }
}

@compute @workgroup_size(4u * WIDTH)
fn attention_matrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let end = step.tokens * GROUP;
  let first = FIRST + (groups.x - 1u - group.x) * ROWS;        // the longest first
  if (first >= end) { return; }
  let rows = Rows(first, min(first + ROWS, end) - 1u, group.y);
  let last_key = step.past + rows.last / GROUP;
  let part = Part(lane, lane / WIDTH / 2u * (ROWS / 2u), lane / WIDTH % 2u);
  let scales = kv_scales(rows.kv_head, last_key / PAGE, lane);
  for (var j = lane; j < count(2u * ROWS); j += 4u * WIDTH) {
    if (j < ROWS) { tops[j] = LOWEST; }
    sums[j] = 0.0;
  }

  var o0 = none(0u);
  var o1 = none(1u);
  var o2 = none(2u);
  var o3 = none(3u);
  for (var base = 0u; base <= last_key; base += KEYS) {
    let row = cache_row(step.slot, rows.kv_head, base);        // a tile is within one page
    let keys = Keys(base, min(KEYS, last_key + 1u - base), row); // rows past the end may hold anything
    score(rows, keys, scales.key.x, part);
    weigh(rows, keys, scales.key.y * (1.442695041 / sqrt(f32(D))), lane);
    if (workgroupUniformLoad(&grew) != 0u) {
      o0 = shrunk(o0, part);
      if (D > DIMS) { o1 = shrunk(o1, part); }
      if (D > 2u * DIMS) { o2 = shrunk(o2, part); }
      if (D > 3u * DIMS) { o3 = shrunk(o3, part); }
    }
    o0 = mixed(o0, 0u, keys, scales.value.x, part);
    if (D > DIMS) { o1 = mixed(o1, 1u, keys, scales.value.x, part); }
    if (D > 2u * DIMS) { o2 = mixed(o2, 2u, keys, scales.value.x, part); }
    if (D > 3u * DIMS) { o3 = mixed(o3, 3u, keys, scales.value.x, part); }
  }
  write(o0, 0u, rows, scales.value.y, part);
  if (D > DIMS) { write(o1, 1u, rows, scales.value.y, part); }
  if (D > 2u * DIMS) { write(o2, 2u, rows, scales.value.y, part); }
  if (D > 3u * DIMS) { write(o3, 3u, rows, scales.value.y, part); }
}
