// reduce/best: the largest of many values and where it was. A candidate is (key, index); keys order as the floats do,
// with NaN below everything, and are compared as integers because compilers may assume that no float is NaN.
struct Best {
  key: u32,
  index: u32,
}

fn keyOf(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0u; // NaN
  }
  if (magnitude == 0u) {
    return 0x80000000u; // -0 equals 0
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// Of equals the lower index.
fn better(a: Best, b: Best) -> Best {
  if (b.key > a.key || (b.key == a.key && b.index < a.index)) {
    return b;
  }
  return a;
}

var<workgroup> candidates: array<Best, LANES>;

// The best of every lane's candidate, in every lane; LANES is a multiple of 8. Every lane must call it, and a barrier must
// be between two calls.
fn bestOfLanes(mine: Best, lane: u32) -> Best {
  candidates[lane] = mine;
  workgroupBarrier();
  var best = mine;
  if (lane < 8u) {
    for (var i = lane + 8u; i < LANES; i += 8u) {
      best = better(best, candidates[i]);
    }
    candidates[lane] = best;
  }
  workgroupBarrier();
  best = candidates[0];
  for (var i = 1u; i < 8u; i++) {
    best = better(best, candidates[i]);
  }
  return best;
}
