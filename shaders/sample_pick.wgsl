// sample_pick: the next token of each row.   Second of two stages.
//   The likeliest; or one drawn by p ∝ exp(logit / temperature) from what top_k leaves of the logits, top_p of that, and
//   min_p of that: the first id at which the sum of weights, in the order of ids, is above random · the whole.
//   logits: [T, K] f32    blocks: [T, GROUPS]    keys: [slots, K]    settings, counts: sample/slot; counts go on
//   records: [T, RECORD] u32 (sample/told)
//   one workgroup per row; uses sample/slot, search, random, told, reduce/best
override GROUPS: u32;
override BLOCK: u32;   // logits to a block
override LANES: u32;
override TEAM: u32;    // lanes to a block; divides LANES

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> blocks: array<Block>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> records: array<u32>;
@group(0) @binding(6) var<storage, read> step: Step;

var<workgroup> masses: array<f32, GROUPS>;     // the weight of each block
var<workgroup> sick: atomic<u32>;
var<workgroup> ill_now: u32;

// The searches of a draw, one behind another.
const BY_TOP_K = 0u;
const TIES_OF_TOP_K = 1u;
const BY_TOP_P = 2u;
const TIES_OF_TOP_P = 3u;
const FOR_TOKEN = 4u;

// The likeliest, from what the blocks know.
fn bestOfBlocks(t: u32, lane: u32) -> Best {
  var best = Best(0u, 0u);
  for (var group = lane; group < GROUPS; group += LANES) {
    let block = blocks[t * GROUPS + group];
    best = better(best, block.best);
    tops[group] = select(block.best.key, 0u, block.absent != 0u);
    if (block.sick != 0u) {
      atomicOr(&sick, 1u);
    }
  }
  return bestOfLanes(best, lane);
}

fn drawn(start: Row, lane: u32) -> u32 {
  let total = weighed(start, lane);
  var row = start;
  var search: Search;
  var token = 0u;
  for (var phase = BY_TOP_K; phase <= FOR_TOKEN; phase++) {
    if (phase != TIES_OF_TOP_K && phase != TIES_OF_TOP_P) {
      search = searchOf(phase, row, total);
    }
    let none = search.over == 2u;
    search = searched(row, search, lane);
    let alone = search.tokens == 1.0;
    let id = select(search.begin, found.index, alone);
    if (none) { // not `continue`: lanes must stay together
    } else if (search.kind == DRAW) {
      token = id;
    } else if (search.kind == TIE) {
      row.last = id;
    } else {
      // Kept is a head of the order: the likeliest first, of equals the lowest id. At its end are so many ties.
      let key = select(~search.begin, found.key, alone);
      let each = select(weightOf(row, key), 1.0, search.kind == COUNT);
      let ties = max(1.0, ceil((search.limit - search.reached) / each));
      let all = select(row.last, 0xffffffffu, key > row.cut);
      row.cut = key;
      row.last = select(all, id, alone);
      let over = select(0u, 2u, alone || search.tokens <= ties);
      search = Search(TIE, 0u, K - 1u, K - 1u, ties, 0.0, false, key, 0.0, over);
    }
  }
  return token;
}

// The sum of all weights; of each block in `masses`.
fn weighed(row: Row, lane: u32) -> f32 {
  for (var group = lane; group < GROUPS; group += LANES) {
    let block = blocks[row.t * GROUPS + group];
    masses[group] = select(0.0, block.sum * weightOf(row, block.best.key), block.best.key > NEVER);
  }
  workgroupBarrier();
  var total = 0.0;
  for (var group = 0u; group < GROUPS; group++) {
    total += masses[group];
  }
  return total;
}

// A search that is over is none.
fn searchOf(phase: u32, row: Row, total: f32) -> Search {
  let top_k = setting(row.slot, TOP_K);
  let counted = top_k > 0u && top_k < K;
  let top_p = settingOf(row.slot, TOP_P);
  if (phase == FOR_TOKEN) {
    let seed = vec2u(setting(row.slot, SEED), setting(row.slot, SEED + 1u));
    let random = uniformOf(seed, counts[countsOf(row.slot)]);
    let search = Search(DRAW, 0u, K - 1u, K - 1u, random, 0.0, true, 0u, 0.0, 0u);
    if (counted || top_p < 1.0 || row.least > 0.0) {
      return search;
    }
    return fromBlocks(search, random * total);
  }
  let high = ~keyOf(row.high);
  let end = ~row.cut;
  // Most heads are short, and blocks that hold nothing of them need not be read.
  let near = clamp(~keyOf(row.high - 8.0 / row.heat), high, end);
  if (phase == BY_TOP_K) {
    return Search(COUNT, high, near, end, f32(top_k), 0.0, false, 0u, 0.0, select(2u, 0u, counted));
  }
  let limit = select(top_p * total, top_p, counted);
  return Search(WEIGHT, high, select(near, end, counted), end, limit, 0.0, counted, 0u, 0.0, select(2u, 0u, top_p < 1.0));
}

// Where nothing is cut off the blocks tell in which of them the sum crosses: the rest of the search is in it.
fn fromBlocks(start: Search, limit: f32) -> Search {
  var search = start;
  var reached = 0.0;
  for (var group = 0u; group < GROUPS && reached <= limit; group++) {
    if (masses[group] > 0.0) {
      search.reached = reached;
      search.begin = group * BLOCK;
      reached += masses[group];
    }
  }
  search.end = min(search.begin + (BLOCK - 1u), K - 1u);
  search.beyond = search.end;
  search.limit = limit;
  search.share = false;
  return search;
}

@compute @workgroup_size(LANES)
fn sample_pick(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let slot = slot_of(t);
  let flags = setting(slot, FLAGS);
  let best = bestOfBlocks(t, lane);
  let high = valueOf(best.key);
  let row = Row(t, slot, flags, high, settingOf(slot, HEAT), LEAST, 0xffffffffu, settingOf(slot, MIN_P));
  if (lane == 0u) {
    ill_now = u32(atomicLoad(&sick) != 0u || best.key <= NEVER || best.key == ALWAYS);
  }
  let ill = workgroupUniformLoad(&ill_now) == 1u;
  var id = best.index;
  if (ill) {
    if (lane == 0u) {
      tellIllness(row);
    }
  } else {
    if ((flags & SAMPLED) != 0u) {
      id = drawn(row, lane);
    }
    if ((flags & TOLD) != 0u) {
      tellProbabilities(row, id, setting(slot, CANDIDATES), lane);
    }
  }
  if (lane == 0u) {
    put(row, 0u, id);
    put(row, 1u, u32(ill));
    let own = countsOf(slot);
    counts[own] += 1u;
    counts[own + 1u] = id;
    if ((flags & COUNTED) != 0u) {
      counts[own + 2u + id] += 1u;
    }
  }
}
