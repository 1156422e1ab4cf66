// sample/search: where, on the way through a row's tokens, a running sum crosses a limit. The way is that of keys, the
// likeliest first, or that of ids; the sum counts tokens or adds up weights. Each pass cuts the stretch that is left into
// eight parts and goes on with the one that crosses, until it is one place or holds one token: no list, no sorting, and
// the same additions in the same order on every run.   uses sample/slot, reduce/best
//   A place is ~key or id, so that it grows along the way. All lanes hold the same row and search.

// `cut` and `last`: what is kept so far, tokens above a key and, at that key, those up to an id. `least`: the weight that
// min_p asks for.
struct Row {
  t: u32,
  slot: u32,
  flags: u32,
  high: f32,
  heat: f32,
  cut: u32,
  last: u32,
  least: f32,
}

// What a token adds to the sum, if it is kept: 1; its weight; 1 if its key is `tie`; its weight if that is enough.
const COUNT = 0u;
const WEIGHT = 1u;
const TIE = 2u;
const DRAW = 3u;

struct Search {
  kind: u32,
  begin: u32,     // places
  end: u32,
  beyond: u32,    // where the way ends, if the limit may lie behind `end`
  limit: f32,
  reached: f32,   // of the sum, ahead of `begin`
  share: bool,    // the limit is a share of the sum of what lies between the places
  tie: u32,
  tokens: f32,    // between the places, that add something
  over: u32,      // 1: one place, or one token, is left; 2: nothing is to be done
}

var<workgroup> tops: array<u32, GROUPS>;       // the best key of each block
var<workgroup> sums: array<f32, 17 * LANES>;   // of each lane: 8 parts' sums and their tokens
var<workgroup> totals: array<f32, 16>;
var<workgroup> over_now: u32;
var<workgroup> found: Best;

fn keyAt(row: Row, id: u32) -> u32 {
  if ((row.flags & ADJUSTED) != 0u) {
    return keys[row.slot * K + id];
  }
  return keyOf(logits[row.t * K + id]);
}

// exp((logit − the largest) / temperature)
fn weightOf(row: Row, key: u32) -> f32 {
  return exp((valueOf(key) - row.high) * row.heat);
}

fn measured(row: Row, search: Search, key: u32, id: u32) -> f32 {
  if (key < row.cut || (key == row.cut && id > row.last)) {
    return 0.0;
  }
  if (search.kind == COUNT) {
    return 1.0;
  }
  if (search.kind == TIE) {
    return select(0.0, 1.0, key == search.tie);
  }
  let weight = weightOf(row, key);
  return select(weight, 0.0, search.kind == DRAW && weight < row.least);
}

// Whether a block may have tokens between the places.
fn isNear(row: Row, search: Search, group: u32) -> bool {
  let top = tops[group];
  let first = group * BLOCK;
  let among = first <= search.end && first + BLOCK > search.begin;
  return top >= row.cut && select(~top <= search.end, among, search.kind >= TIE);
}

// How the search ends; in `found` the token, where there is but one.
fn searched(row: Row, start: Search, lane: u32) -> Search {
  var search = start;
  for (var i = 0u; i < 16u; i++) { // 8¹¹ places, once more for what lies beyond, and a last time for the token itself
    if (lane == 0u) {
      over_now = search.over;
    }
    let over = workgroupUniformLoad(&over_now);
    if (over == 2u) {
      break;
    }
    scan(row, search, lane);
    if (over == 0u) {
      search = chosen(search);
    } else {
      search.over = 2u;
    }
  }
  return search;
}

// Makes `totals`. Lanes go in teams, a block to each.
fn scan(row: Row, search: Search, lane: u32) {
  let width = (search.end - search.begin) / 8u + 1u;
  let own = 17u * lane;
  for (var i = 0u; i < 16u; i++) {
    sums[own + i] = 0.0;
  }
  for (var group = lane / TEAM; group < GROUPS; group += LANES / TEAM) {
    if (!isNear(row, search, group)) {
      continue;
    }
    let end = min((group + 1u) * BLOCK, K);
    for (var id = group * BLOCK + lane % TEAM; id < end; id += TEAM) {
      let key = keyAt(row, id);
      let place = select(~key, id, search.kind >= TIE);
      let measure = measured(row, search, key, id);
      if (measure > 0.0 && place >= search.begin && place <= search.end) {
        let part = own + (place - search.begin) / width;
        sums[part] += measure;
        sums[part + 8u] += 1.0;
        if (search.tokens == 1.0) {
          found = Best(key, id); // nobody else's
        }
      }
    }
  }
  workgroupBarrier();
  for (var part = lane; part < 16u; part += LANES) {
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
      total += sums[17u * i + part];
    }
    totals[part] = total;
  }
  workgroupBarrier();
}

// The part in which the sum crosses.
fn chosen(search: Search) -> Search {
  let width = (search.end - search.begin) / 8u + 1u;
  var next = search;
  if (search.share) {
    next.share = false;
    var whole = 0.0;
    for (var part = 0u; part < 8u; part++) {
      whole += totals[part];
    }
    next.limit *= whole;
  }
  var reached = search.reached;
  var crosses = false;
  for (var part = 0u; part < 8u && !crosses; part++) {
    let tokens = totals[8u + part];
    if (tokens > 0.0) { // where rounding lets none cross it is the last of these
      next.begin = search.begin + part * width;
      next.tokens = tokens;
      next.reached = reached;
      reached += totals[part];
      crosses = reached > next.limit || (reached == next.limit && search.kind != DRAW);
    }
  }
  if (!crosses && search.beyond > search.end) {
    next.reached = reached;
    next.begin = search.end + 1u;
    next.end = search.beyond;
    next.tokens = 0.0;
    return next;
  }
  next.end = next.begin + min(search.end - next.begin, width - 1u);
  next.beyond = next.end;
  if (next.tokens == 1.0 || next.begin == next.end) {
    next.over = select(2u, 1u, next.tokens == 1.0);
  }
  return next;
}
