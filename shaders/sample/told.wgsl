// sample/told: what a record tells besides the token.   uses sample/search
//   record: token, ill, then of the untouched logits: the token's, the largest and Σ exp(logit − largest); of ill ones:
//   how many are NaN and how many infinite, least, largest and sum of the others; from word 12 on the likeliest tokens,
//   (id, logit), the likeliest first. Floats as bits.
const RECORD = 52u;
const CANDIDATES_AT = 12u;

var<workgroup> raws: array<Best, GROUPS>;      // what each block has left

fn put(row: Row, word: u32, value: u32) {
  records[row.t * RECORD + word] = value;
}

fn putFloat(row: Row, word: u32, value: f32) {
  put(row, word, bitcast<u32>(value));
}

// `count`: of the likeliest, how many.
fn tellProbabilities(row: Row, id: u32, count: u32, lane: u32) {
  for (var group = lane; group < GROUPS; group += LANES) {
    raws[group] = blocks[row.t * GROUPS + group].raw;
  }
  for (var i = 0u; i < max(1u, count); i++) {
    var best = Best(0u, 0u);
    for (var group = lane; group < GROUPS; group += LANES) {
      best = better(best, raws[group]);
    }
    best = bestOfLanes(best, lane);
    if (lane == 0u) {
      if (i == 0u) {
        tellSum(row, id, valueOf(best.key));
      }
      if (i < count) {
        put(row, CANDIDATES_AT + 2u * i, best.index);
        put(row, CANDIDATES_AT + 2u * i + 1u, bitcast<u32>(logits[row.t * K + best.index]));
      }
    }
    strike(row, best, lane);
    workgroupBarrier(); // bestOfLanes uses its memory again
  }
}

fn tellSum(row: Row, id: u32, high: f32) {
  var sum = 0.0;
  for (var group = 0u; group < GROUPS; group++) {
    let block = blocks[row.t * GROUPS + group];
    if (block.raw.key > NEVER) {
      sum += block.raw_sum * exp(valueOf(block.raw.key) - high);
    }
  }
  put(row, 2u, bitcast<u32>(logits[row.t * K + id]));
  putFloat(row, 3u, high);
  putFloat(row, 4u, sum);
}

// The block of a candidate has its next one left. Each lane keeps account of the blocks that it looks at.
fn strike(row: Row, gone: Best, lane: u32) {
  let group = gone.index / BLOCK;
  if (group % LANES != lane) {
    return;
  }
  var best = Best(0u, 0u);
  for (var id = group * BLOCK; id < min((group + 1u) * BLOCK, K); id++) {
    let key = keyOf(logits[row.t * K + id]);
    if (key < gone.key || (key == gone.key && id > gone.index)) {
      best = better(best, Best(key, id));
    }
  }
  raws[group] = best;
}

fn tellIllness(row: Row) {
  var nan = 0u;
  var infinite = 0u;
  var least = ALWAYS;
  var largest = NEVER;
  var sum = 0.0;
  for (var id = 0u; id < K; id++) {
    let key = keyAt(row, id);
    if (key == 0u) {
      nan += 1u;
    } else if (key == NEVER || key == ALWAYS) {
      infinite += 1u;
    } else {
      least = min(least, key);
      largest = max(largest, key);
      sum += valueOf(key);
    }
  }
  put(row, 5u, nan);
  put(row, 6u, infinite);
  putFloat(row, 7u, valueOf(least));
  putFloat(row, 8u, valueOf(largest));
  putFloat(row, 9u, sum);
}
