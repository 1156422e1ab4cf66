// sample_blocks: each row's logits as its slot's settings change them, and what a draw needs to know of each block of
// them.   First of two stages; Block is in sample/slot, the formula in sample/adjust.
//   x = logits: [T, K] f32    blocks: [T, GROUPS]    keys: [slots, K] u32, written where settings change logits
//   one workgroup per block and row; uses rows/*, reduce/best, reduce/workgroup
override PIECES: u32;  // pieces of 8 to a block
override LANES: u32;

@group(0) @binding(1) var<storage, read_write> blocks: array<Block>;
@group(0) @binding(3) var<storage, read> logits: array<f32>;
@group(0) @binding(8) var<storage, read_write> keys: array<u32>;
@group(0) @binding(9) var<storage, read> step: Step;

var<workgroup> sick: atomic<u32>;

// The best so far, and the least key, which is 0 where there is a NaN.
struct Seen {
  best: Best,
  least: u32,
}

// The last piece of a ragged row is filled up with zeros, which must not win.
fn consider(seen: Seen, value: f32, index: u32) -> Seen {
  let key = select(0xffffffffu, keyOf(value), index < K);
  let shown = select(key, 0u, index >= K);
  return Seen(better(seen.best, Best(shown, index)), min(seen.least, key));
}

// Where no setting changes a logit.
fn plainBest(t: u32, first: u32, end: u32, lane: u32) -> Best {
  var seen = Seen(Best(0u, 8u * first), 0xffffffffu);
  for (var piece = first + lane; piece < end; piece += LANES) {
    let values = x8(t, piece);
    let index = 8u * piece;
    seen = consider(seen, values.lo.x, index);
    seen = consider(seen, values.lo.y, index + 1u);
    seen = consider(seen, values.lo.z, index + 2u);
    seen = consider(seen, values.lo.w, index + 3u);
    seen = consider(seen, values.hi.x, index + 4u);
    seen = consider(seen, values.hi.y, index + 5u);
    seen = consider(seen, values.hi.z, index + 6u);
    seen = consider(seen, values.hi.w, index + 7u);
  }
  if (seen.least == 0u) {
    atomicOr(&sick, 1u);
  }
  return seen.best;
}

// Writes the keys.
fn adjustedBest(t: u32, slot: u32, flags: u32, first: u32, end: u32, lane: u32) -> Best {
  var best = Best(0u, first);
  for (var i = first + lane; i < end; i += LANES) {
    let key = adjusted(slot, flags, i, logits[t * K + i]);
    keys[slot * K + i] = key;
    if (key == 0u) {
      atomicOr(&sick, 1u);
    }
    best = better(best, Best(key, i));
  }
  return best;
}

@compute @workgroup_size(LANES)
fn sample_blocks(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y;
  let slot = slot_of(t);
  let flags = setting(slot, FLAGS);
  let firstPiece = group.x * PIECES;
  let endPiece = min(firstPiece + PIECES, (K + 7u) / 8u);
  let first = 8u * firstPiece;
  let end = min(8u * endPiece, K);
  let changed = (flags & ADJUSTED) != 0u;
  var best: Best;
  if (changed) {
    best = adjustedBest(t, slot, flags, first, end, lane);
  } else {
    best = plainBest(t, firstPiece, endPiece, lane);
  }
  best = bestOfLanes(best, lane);
  var raw = best;
  if (changed && (flags & TOLD) != 0u) {
    workgroupBarrier(); // bestOfLanes uses its memory again
    raw = bestOfLanes(plainBest(t, firstPiece, endPiece, lane), lane);
  }
  var now = Block(best, raw, 0.0, 0.0, atomicLoad(&sick), 0u);
  if ((flags & (SAMPLED | TOLD)) != 0u) {
    let sums = sumsOf(t, slot, flags, first, end, now, lane);
    now.sum = sums.x;
    now.raw_sum = sums.y;
  }
  if (lane == 0u) {
    blocks[t * groups.x + group.x] = now;
  }
}

fn sumsOf(t: u32, slot: u32, flags: u32, first: u32, end: u32, known: Block, lane: u32) -> vec4f {
  let heat = settingOf(slot, HEAT);
  let high = valueOf(max(known.best.key, LEAST));
  let rawHigh = valueOf(max(known.raw.key, LEAST));
  var sums = vec4f();
  for (var i = first + lane; i < end; i += LANES) {
    let logit = logits[t * K + i];
    let rawKey = keyOf(logit);
    var key = rawKey;
    if ((flags & ADJUSTED) != 0u) {
      key = keys[slot * K + i]; // this lane's own
    }
    if ((flags & SAMPLED) != 0u && key > NEVER) {
      sums.x += exp((valueOf(key) - high) * heat);
    }
    if ((flags & TOLD) != 0u && rawKey > NEVER) {
      sums.y += exp(logit - rawHigh);
    }
  }
  return sum4(sums, lane);
}
